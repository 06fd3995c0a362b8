"""What the full-text index is asked, as SQL on a row of PostgreSQL's `texts`.

Of rows that lack something in their `tsvector`, more are taken from the index than match, and their
stored text is looked at. Where there are no such rows, and mostly there are none, nothing is said
of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from archiver.query import And, Condition, Matches, Not, Or, Range
from archiver.query.relevance import spaced
from archiver.query.tree import Facet, Node, Text
from archiver.query.tsquery import certain, has_beginnings, tsquery
from archiver.query.tsvector import ABRIDGED, WANTING, lacking, quoted


class Fragment(NamedTuple):
    """A condition in SQL, and its operands."""

    sql: str
    operands: Sequence[Any] = ()


class Match:
    """A tree without ranges, for rows of which the worst lacks so much."""

    def __init__(self, node: Node, worst: int) -> None:
        self._query = tsquery(node)
        self._stored: Fragment | None = None
        self.has_beginnings = has_beginnings(node)
        right = certain(node)
        if worst > right:
            unsure = [quoted(lacking(it)) for it in (ABRIDGED, WANTING) if it > right]
            self._query = f"({self._query} | {' | '.join(unsure)})"
            stored = _stored(node)
            self._stored = Fragment(f"(lacks <= {right} OR {stored.sql})", stored.operands)

    def of_text(self, spans: Sequence[str] | None) -> Fragment:
        """The row of `texts` matches, and has one of the lexemes if any are given."""
        query = self._query
        if spans is not None:
            query = f"{query} & ({' | '.join(map(quoted, spans))})"
        if self._stored is None:
            return Fragment("words @@ ?::tsquery", (query,))
        return Fragment(
            f"(words @@ ?::tsquery AND {self._stored.sql})", (query, *self._stored.operands)
        )

    def of_card(self) -> Fragment:
        """The text of a row of `cards` matches; it is asked of each row, one by one."""
        asked = self.of_text(None)
        sql = f"(SELECT {asked.sql} FROM texts WHERE texts.number = cards.number)"
        return Fragment(f"coalesce({sql}, FALSE)", asked.operands)


def tests(conditions: Sequence[Condition], worst: int) -> Fragment:
    """All conditions on a row of `cards`."""
    return _test(And(parts=tuple(conditions)), worst) if conditions else Fragment("TRUE")


def _test(condition: Condition, worst: int) -> Fragment:
    match condition:
        case Matches():
            return Match(condition.node, worst).of_card()
        case Range():
            bounds = ((">=", condition.low), ("<=", condition.high))
            said = [f"{condition.column} IS NOT NULL"]
            said += [f"{condition.column} {sign} ?" for sign, at in bounds if at is not None]
            return Fragment(f"({' AND '.join(said)})", [at for _, at in bounds if at is not None])
        case Not():
            denied = _test(condition.part, worst)
            return Fragment(f"(NOT {denied.sql})", denied.operands)
        case And():
            return _joined(" AND ", [_test(part, worst) for part in condition.parts])
        case Or():
            return _joined(" OR ", [_test(part, worst) for part in condition.parts])
    raise TypeError(condition)


def _stored(node: Node) -> Fragment:
    """The same, asked of the stored texts."""
    match node:
        case Text():
            said = spaced(" ".join(node.tokens), node.prefix)
            return _joined(" OR ", [_stands_in(column, said) for column in node.columns])
        case Facet():
            return _stands_in("facets", spaced(node.token, node.prefix))
        case And():
            return _joined(" AND ", list(map(_stored, node.parts))) if node.parts else _TRUE
        case Or():
            return _joined(" OR ", list(map(_stored, node.parts))) if node.parts else _FALSE
        case Not():
            denied = _stored(node.part)
            return Fragment(f"(NOT {denied.sql})", denied.operands)
    raise TypeError("the full-text index knows no ranges")


_TRUE, _FALSE = Fragment("TRUE"), Fragment("FALSE")


def _stands_in(column: str, said: str) -> Fragment:
    return Fragment(f"strpos(' ' || {column} || ' ', ?) > 0", (said,))


def _joined(operator: str, parts: Sequence[Fragment]) -> Fragment:
    operands = [value for part in parts for value in part.operands]
    return Fragment(f"({operator.join(part.sql for part in parts)})", operands)
