"""A tree → FTS5's own language: what of a query is words and tokens alone is one expression.

Every token is quoted, and none has a quote in it: `segment` and `facets` see to that.
"""

from __future__ import annotations

from archiver.facets import EVERY_ROW, NO_ROW
from archiver.query.tree import And, Facet, Node, Not, Or, Text


def expression(node: Node) -> str:
    """The FTS5 expression that matches the same rows; there must be no range in the tree."""
    match node:
        case Text():
            columns = " ".join(node.columns)
            return f'{{{columns}}} : "{" ".join(node.tokens)}"{" *" if node.prefix else ""}'
        case Facet():
            return f'facets : "{node.token}"{" *" if node.prefix else ""}'
        case Or():
            return _joined(" OR ", node.parts) if node.parts else _row(NO_ROW)
        case And():
            return _all(node.parts)
        case Not():
            return _all((node,))
    raise TypeError("the full-text index knows no ranges")


def _all(parts: tuple[Node, ...]) -> str:
    """FTS5 has no NOT but between two expressions, so all that is denied is denied at once."""
    denied = tuple(part.part for part in parts if isinstance(part, Not))
    asked = tuple(part for part in parts if not isinstance(part, Not))
    wanted = _joined(" AND ", asked) if asked else _row(EVERY_ROW)
    return f"({wanted} NOT {_joined(' OR ', denied)})" if denied else wanted


def _joined(operator: str, parts: tuple[Node, ...]) -> str:
    found = [expression(part) for part in parts]
    return f"({operator.join(found)})" if len(found) > 1 else found[0]


def _row(token: str) -> str:
    return f'facets : "{token}"'
