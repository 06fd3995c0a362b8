"""A small archive as the index keeps it: cards, and the segmented text with facet tokens beside."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from archiver import sqlite
from archiver.cards import MAX_NUMBER, Card
from archiver.facets import NUMBERS, tokens_of
from archiver.moments import to_millis
from archiver.query import And, Condition, Matches, Not, Or, Plan, Range
from archiver.query.match import expression
from archiver.query.tree import Node
from archiver.segment import segment

COLUMNS = Card.__struct_fields__
_MATCH = "SELECT rowid FROM texts WHERE texts MATCH ?"


class Row(NamedTuple):
    """One slot: its card, and its texts as they were written."""

    card: Card
    prompt: str = ""
    neg: str = ""
    about: str = ""


class Archive:
    """Rows in SQLite, asked as a plan says."""

    def __init__(self) -> None:
        self._connection = sqlite.sqlite3.connect(":memory:", isolation_level=None)
        self._connection.execute(f"CREATE TABLE cards ({', '.join(COLUMNS)})")
        self._connection.execute(
            "CREATE VIRTUAL TABLE texts USING fts5"
            " (prompt, neg, about, facets, tokenize=\"ascii tokenchars '_'\")"
        )

    def fill(self, rows: Iterable[Row]) -> dict[str, set[float]]:
        """Makes these the only rows; the answer are all values of the columns with tokens."""
        known: dict[str, set[float]] = {column: set() for column in NUMBERS}
        self._connection.execute("DELETE FROM cards")
        self._connection.execute("DELETE FROM texts")
        for card, *texts in rows:
            values = [_stored(getattr(card, column)) for column in COLUMNS]
            places = ",".join("?" * len(values))
            self._connection.execute(f"INSERT INTO cards VALUES ({places})", values)
            self._connection.execute(
                "INSERT INTO texts (rowid, prompt, neg, about, facets) VALUES (?,?,?,?,?)",
                (card.number, *map(segment, texts), tokens_of(card)),
            )
            for column in NUMBERS:
                known[column] |= {_stored(getattr(card, column))} - {None}
        return known

    def matched(self, node: Node) -> set[int]:
        """The numbers of all rows that the full-text index finds for a tree."""
        return {number for (number,) in self._connection.execute(_MATCH, [expression(node)])}

    def found(self, plan: Plan) -> set[int]:
        """The numbers of all rows that a plan finds."""
        wheres, values = ["1"], []
        if plan.match is not None:
            wheres.append(f"number IN ({_MATCH})")
            values.append(expression(plan.match))
        for bound, operator in ((plan.lowest, ">="), (plan.highest, "<=")):
            if bound is not None:
                wheres.append(f"number {operator} ?")
                values.append(bound)
        for condition in plan.conditions:
            sql, operands = _sql(condition)
            wheres.append(sql)
            values += operands
        query = f"SELECT number FROM cards WHERE {' AND '.join(wheres)}"
        return {number for (number,) in self._connection.execute(query, values)}


def _sql(condition: Condition) -> tuple[str, list[Any]]:
    match condition:
        case Matches():
            return f"(number IN ({_MATCH}))", [expression(condition.node)]
        case Range():
            column, bounds = condition.column, (condition.low, condition.high)
            tests = [f"{column} IS NOT NULL"]
            tests += [
                f"{column} {operator} ?"
                for operator, bound in zip((">=", "<="), bounds, strict=True)
                if bound is not None
            ]
            return f"({' AND '.join(tests)})", [bound for bound in bounds if bound is not None]
        case Not():
            sql, operands = _sql(condition.part)
            return f"(NOT {sql})", operands
        case And() | Or():
            parts = [_sql(part) for part in condition.parts]
            operator = " AND " if isinstance(condition, And) else " OR "
            sql = operator.join(sql for sql, _ in parts)
            return f"({sql})", [operand for _, operands in parts for operand in operands]


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_millis(value)
    if isinstance(value, int) and value > MAX_NUMBER:
        return None
    return value.value if hasattr(value, "value") else value
