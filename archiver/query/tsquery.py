"""A tree → PostgreSQL's `tsquery`: what of a query is words and tokens alone, as one expression.

Every lexeme is quoted as PostgreSQL wants it, so that no text of anybody's is syntax. Of rows that
lack something (`tsvector`) it may say too little, and `certain` says of which.
"""

from __future__ import annotations

from archiver.facets import EVERY_ROW, NO_ROW
from archiver.query.tree import And, Facet, Node, Not, Or, Text
from archiver.query.tsvector import ABRIDGED, fits, lexeme, quoted


def tsquery(node: Node) -> str:
    """The expression that matches the same rows; there must be no range in the tree."""
    match node:
        case Text():
            return _either(" | ", [_phrase(column, node) for column in node.columns])
        case Facet():
            return _begins("facets", node.token) if node.prefix else _is("facets", node.token)
        case Or():
            return _either(" | ", list(map(tsquery, node.parts))) if node.parts else _row(NO_ROW)
        case And():
            return _all(node.parts)
        case Not():
            return _all((node,))
    raise TypeError("the full-text index knows no ranges")


def certain(node: Node) -> int:
    """What a row may lack, at most, for the expression to be right about it."""
    match node:
        case Text():
            begins = node.prefix and not fits(node.tokens[-1])
            return 0 if begins or len(node.tokens) > 1 else ABRIDGED
        case Facet():
            return 0 if node.prefix and not fits(node.token) else ABRIDGED
        case And() | Or():
            return min(map(certain, node.parts), default=ABRIDGED)
        case Not():
            return certain(node.part)
    return ABRIDGED


def has_beginnings(node: Node) -> bool:
    """Whether it asks for all words that begin in some way."""
    match node:
        case Text() | Facet():
            return node.prefix
        case And() | Or():
            return any(map(has_beginnings, node.parts))
        case Not():
            return has_beginnings(node.part)
    return False


def _all(parts: tuple[Node, ...]) -> str:
    """A denial alone would have PostgreSQL look at its whole index and then at every row."""
    asked = [tsquery(part) for part in parts if not isinstance(part, Not)]
    denied = [f"!{tsquery(part.part)}" for part in parts if isinstance(part, Not)]
    return _either(" & ", [*(asked or [_row(EVERY_ROW)]), *denied])


def _phrase(column: str, node: Text) -> str:
    *words, last = node.tokens
    said = [_is(column, word) for word in words]
    said.append(_begins(column, last) if node.prefix else _is(column, last))
    return _either(" <-> ", said)


def _is(column: str, token: str) -> str:
    return quoted(lexeme(column, token))


def _begins(column: str, token: str) -> str:
    return f"{_is(column, token)}:*"


def _either(operator: str, parts: list[str]) -> str:
    return f"({operator.join(parts)})" if len(parts) > 1 else parts[0]


def _row(token: str) -> str:
    return _is("facets", token)
