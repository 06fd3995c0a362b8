"""A plan's rows in SQL: walked in order of their numbers, by size, or by how well they match.

However broad a question, a step in order of numbers looks at a bounded number of rows; who wants
more of them asks again from where the last step ended. In order of size or cost there is no such
bound: where hardly any row fits, all of them may have to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import Any, NamedTuple

from archiver.database import Connection
from archiver.query import And, Condition, Matches, Not, Or, Plan, Range, Sort
from archiver.query.match import expression

# The best matches are looked for among so many of the newest.
MOST_RANKED = 2000

# What it costs, in microseconds or so, to fetch a match and sort it with others; to list it; to
# pass by a row on the way along an order; and to ask of a row there whether it matches.
_SORT, _LIST, _PASS, _ASK = 2.0, 0.15, 0.07, 17.0

_NEWEST, _OLDEST = (1 << 63) - 1, 0
_FIRST_STEP, _LAST_STEP = 250, 4000
_MATCHES = "SELECT rowid FROM texts_fts WHERE texts_fts MATCH ?"
_OF_MATCHING = "BETWEEN (SELECT min(number) FROM matching) AND (SELECT max(number) FROM matching)"
# Of prompt, neg, about and facets.
_WEIGHTS = "1.0, 0.2, 0.5, 0.0"

# The order of rows without a value; the index of the same expression stands in the schema.
_ORDERS = {Sort.BYTES: "ifnull(size_bytes, -1)", Sort.COST: "ifnull(cost_micros, -1)"}
_INDEXES = {Sort.BYTES: "cards_by_size", Sort.COST: "cards_by_cost"}


class Step(NamedTuple):
    """What a step found, how many rows it looked at, and the number of the last of them."""

    numbers: list[int]
    looked_at: int
    last: int


class _Asked(NamedTuple):
    """What every step along a plan says to SQLite, put into words once."""

    plan: Plan
    given: list[str]
    tests: str
    operands: list[Any]


class Walks:
    """The rows that plans find, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def steps(self, plan: Plan, *, beyond: int | None, limit: int) -> Iterator[Step]:
        """In order of their numbers, those below `beyond`; above it, where the oldest come first.

        Of a plan without conditions the first step finds `limit` rows, if there are so many.
        """
        size = _FIRST_STEP if plan.conditions else limit
        asked = _asked(plan)
        while True:
            step = self._step(asked, beyond, size)
            if step.looked_at:
                yield step
            if step.looked_at < size:
                return
            beyond, size = step.last, min(size * 2, max(limit, _LAST_STEP))

    def count(self, plan: Plan, *, most: int) -> int:
        """How many rows match, whatever its conditions are, counted up to `most`."""
        low, high = _bounds(plan, None)
        source = (
            "texts_fts WHERE texts_fts MATCH ? AND rowid" if plan.match else "cards WHERE number"
        )
        (found,) = self._connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM {source} BETWEEN ? AND ? LIMIT ?)",
            [*_given(plan), low, high, most],
        ).fetchone()
        return int(found)

    def ranked(self, plan: Plan) -> list[int]:
        """The best matches among the newest, the best first."""
        assert plan.match is not None
        low, high = _bounds(plan, None)
        tests, operands = _tests(plan, _OF_MATCHING)
        rows = self._connection.execute(
            "WITH matching (number, badness) AS MATERIALIZED"
            f" (SELECT rowid, bm25(texts_fts, {_WEIGHTS}) FROM texts_fts"
            " WHERE texts_fts MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC LIMIT ?)"
            f" SELECT number FROM matching CROSS JOIN cards USING (number) WHERE {tests}"
            " ORDER BY badness, number DESC",
            [expression(plan.match), low, high, MOST_RANKED, *operands],
        )
        return [number for (number,) in rows]

    def sorted(
        self, plan: Plan, *, beyond: tuple[int, int] | None, limit: int
    ) -> list[tuple[int, int]]:
        """`(value, number)` by size or cost, the greatest first, -1 being no value."""
        order = _ORDERS[plan.sort]
        within = "BETWEEN {} AND {}".format(*_bounds(plan, None))
        conditions, values = _tests(plan, within)
        tests = [f"number {within}", conditions]
        if beyond is not None:
            tests.append(f"({order}, number) < (?, ?)")
            values += beyond
        index = f"INDEXED BY {_INDEXES[plan.sort]}"
        if plan.match is not None:
            few, many = self._few_and_many(limit)
            found = self.count(plan, most=many)
            index = "NOT INDEXED" if found < few else index
            tests.append(
                f"number IN ({_MATCHES})"
                if found < many
                else f"EXISTS ({_MATCHES} AND rowid = cards.number)"
            )
            values.append(expression(plan.match))
        rows = self._connection.execute(
            f"SELECT {order}, number FROM cards {index} WHERE {' AND '.join(tests)}"
            f" ORDER BY {order} DESC, number DESC LIMIT ?",
            [*values, limit],
        )
        return rows.fetchall()

    def _few_and_many(self, limit: int) -> tuple[int, int]:
        """Fewer matches are best sorted; more best asked for; all others listed and looked up.

        The last two walk along the order, and to come by enough matches there takes the more rows
        the fewer they are.
        """
        (rows,) = self._connection.execute("SELECT ifnull(max(number), 0) FROM cards").fetchone()
        few = isqrt(int(limit * rows * _PASS / (_SORT - _LIST)))
        return few, isqrt(int(limit * rows * (_ASK - _PASS) / _LIST)) + 1

    def _step(self, said: _Asked, beyond: int | None, size: int) -> Step:
        """Looks at the next `size` rows that match, and finds those of them that fit."""
        plan = said.plan
        low, high = _bounds(plan, beyond)
        direction = "ASC" if plan.sort is Sort.OLDEST else "DESC"
        matching = "SELECT number FROM cards WHERE number"
        if plan.match is not None:
            matching = f"{_MATCHES} AND rowid"
        matching += f" BETWEEN ? AND ? ORDER BY 1 {direction} LIMIT ?"
        asked = [*said.given, low, high, size]
        if not plan.conditions:
            numbers = [number for (number,) in self._connection.execute(matching, asked)]
            return Step(numbers, len(numbers), numbers[-1] if numbers else 0)
        last = "max" if plan.sort is Sort.OLDEST else "min"
        # Those that match stay in SQLite, where most of them end.
        (looked_at, last_one), *found = self._connection.execute(
            f"WITH matching (number) AS MATERIALIZED ({matching})"
            f" SELECT count(*), {last}(number) FROM matching UNION ALL"
            " SELECT number, NULL FROM matching CROSS JOIN cards USING (number)"
            f" WHERE {said.tests}",
            [*asked, *said.operands],
        )
        return Step([number for number, _ in found], looked_at, last_one or 0)


def _asked(plan: Plan) -> _Asked:
    return _Asked(plan, _given(plan), *_tests(plan, _OF_MATCHING))


def _given(plan: Plan) -> list[str]:
    return [] if plan.match is None else [expression(plan.match)]


def _bounds(plan: Plan, beyond: int | None) -> tuple[int, int]:
    """Between which numbers, both included, to look."""
    low = _OLDEST if plan.lowest is None else plan.lowest
    high = _NEWEST if plan.highest is None else plan.highest
    if beyond is None:
        return low, high
    if plan.sort is Sort.OLDEST:
        return max(low, beyond + 1), high
    return low, min(high, beyond - 1)


def _tests(plan: Plan, within: str) -> tuple[str, list[Any]]:
    """All conditions on a row of `cards` whose number lies `within`, and their operands."""
    return _sql(And(parts=plan.conditions), within) if plan.conditions else ("TRUE", [])


def _sql(condition: Condition, within: str) -> tuple[str, list[Any]]:
    match condition:
        case Matches():
            return f"number IN ({_MATCHES} AND rowid {within})", [expression(condition.node)]
        case Range():
            bounds = ((">=", condition.low), ("<=", condition.high))
            tests = [f"{condition.column} IS NOT NULL"]
            tests += [f"{condition.column} {sign} ?" for sign, at in bounds if at is not None]
            return f"({' AND '.join(tests)})", [at for _, at in bounds if at is not None]
        case Not():
            sql, operands = _sql(condition.part, within)
            return f"(NOT {sql})", operands
        case And() | Or():
            parts = [_sql(part, within) for part in condition.parts]
            joined = (" AND " if isinstance(condition, And) else " OR ").join(
                sql for sql, _ in parts
            )
            return f"({joined})", [value for _, operands in parts for value in operands]
    raise TypeError(condition)
