"""A plan's rows on PostgreSQL: what `walks` is on SQLite, with the very same answers.

A GIN index knows no order, and PostgreSQL guesses badly whether it had better walk along the
numbers or ask the index. So it is not left to guess: from the newest number on, the index is asked
for one stretch of numbers after the other (`tsvector.spans`), each as wide as the matches in those
before it suggest.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from math import isqrt
from typing import Any, NamedTuple

from archiver.catalog.postgres_match import Fragment, Match, tests
from archiver.catalog.walks import MOST_RANKED, Step
from archiver.postgres import Connection
from archiver.query import Plan, Sort
from archiver.query.relevance import Read, phrases, ranked, rarity, read_columns
from archiver.query.tree import Node
from archiver.query.tsvector import span_of, spans

# What it costs, in microseconds or so, to find a match and sort it with others, and to ask of a
# row on the way along an order whether it matches.
_SORT, _ASK = 4.0, 3.0

# So many rows with a phrase are counted one by one; of more, what share of the newest they are is
# taken for their share of all.
_MOST_EXACT = 2000

_NEWEST, _OLDEST = (1 << 63) - 1, 0
_FIRST_STEP, _LAST_STEP = 250, 4000
# Archive numbers in the first stretch, at least, and lexemes by which one is asked for, at most.
_FIRST_STRETCH, _MOST_SPANS = 512, 9
# So few are looked at one by one where the index would take its time.
_BY_ROWS = 4096

# Not `lacks`: PostgreSQL would take it for something to look for.
_EXTENT = (
    "SELECT coalesce(min(number), 1), coalesce(max(number), 0), (SELECT coalesce(max(lacks), 0)"
    " FROM texts WHERE lacks > 0) FROM texts"
)
_ORDERS = {Sort.BYTES: "coalesce(size_bytes, -1)", Sort.COST: "coalesce(cost_micros, -1)"}

Stretch = tuple[int, int]


class _Extent(NamedTuple):
    """The lowest and the highest number that has texts, and what the worst of them lacks."""

    low: int
    high: int
    lacks: int


class PostgresWalks:
    """What `Walks` is on SQLite, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def steps(self, plan: Plan, *, beyond: int | None, limit: int) -> Iterator[Step]:
        """In order of their numbers, those below `beyond`; above it, where the oldest come first.

        Of a plan without conditions the first step finds `limit` rows, if there are so many.
        """
        size = _FIRST_STEP if plan.conditions else limit
        extent = self._extent()
        match = None if plan.match is None else Match(plan.match, extent.lacks)
        fits = tests(plan.conditions, extent.lacks)
        upwards = plan.sort is Sort.OLDEST
        while True:
            low, high = _bounds(plan, extent, beyond)
            numbers = self._numbers(match, low, high, size, upwards=upwards)
            if numbers:
                found = self._fitting(numbers, fits) if plan.conditions else numbers
                yield Step(found, len(numbers), numbers[-1])
            if len(numbers) < size:
                return
            beyond, size = numbers[-1], min(size * 2, max(limit, _LAST_STEP))

    def count(self, plan: Plan, *, most: int) -> int:
        """How many rows match, whatever its conditions are, counted up to `most`."""
        extent = self._extent()
        if plan.match is not None:
            match = Match(plan.match, extent.lacks)
            return min(most, self._tally(match, *_bounds(plan, extent, None), most)[0])
        low, high = _bounds(plan, extent, None)
        (found,) = self._one(
            "SELECT count(*) FROM"
            " (SELECT 1 FROM cards WHERE number BETWEEN ? AND ? LIMIT ?) AS found",
            [low, high, most],
        )
        return int(found)

    def ranked(self, plan: Plan) -> list[int]:
        """The best matches among the newest, the best first."""
        assert plan.match is not None
        extent = self._extent()
        low, high = _bounds(plan, extent, None)
        match = Match(plan.match, extent.lacks)
        numbers = self._numbers(match, low, high, MOST_RANKED, upwards=False)
        if plan.conditions:
            numbers = self._fitting(numbers, tests(plan.conditions, extent.lacks))
        if not numbers:
            return []
        columns = sorted(read_columns(plan.match))  # no others, for they are thousands of texts
        rows = self._connection.execute(
            f"SELECT {', '.join(('number', 'tokens', *columns))} FROM texts WHERE number = ANY(?)",
            [numbers],
        ).fetchall()
        read = [
            Read(number, dict(zip(columns, texts, strict=True)), tokens)
            for number, tokens, *texts in rows
        ]
        in_all, tokens = self._one("SELECT sum(rows), sum(tokens) FROM text_totals", [])
        return ranked(plan.match, read, self._rarities(plan.match, in_all, extent), tokens / in_all)

    def sorted(
        self, plan: Plan, *, beyond: tuple[int, int] | None, limit: int
    ) -> list[tuple[int, int]]:
        """`(value, number)` by size or cost, the greatest first, -1 being no value."""
        order = _ORDERS[plan.sort]
        extent = self._extent()
        low, high = _bounds(plan, extent, None)
        wanted = [Fragment("cards.number BETWEEN ? AND ?", (low, high))]
        if beyond is not None:
            wanted.append(Fragment(f"({order}, number) < (?, ?)", beyond))
        if plan.match is not None:
            match = Match(plan.match, extent.lacks)
            few = self._few(extent, limit)
            numbers = self._if_few(match, low, high, few)
            wanted.append(
                match.of_card()
                if numbers is None
                else Fragment("cards.number = ANY(?)", (numbers,))
            )
        wanted.append(tests(plan.conditions, extent.lacks))
        rows = self._connection.execute(
            f"SELECT {order}, number FROM cards WHERE {' AND '.join(it.sql for it in wanted)}"
            f" ORDER BY {order} DESC, number DESC LIMIT ?",
            [*(value for it in wanted for value in it.operands), limit],
        )
        return rows.fetchall()

    def _few(self, extent: _Extent, limit: int) -> int:
        """So many matches are as well fetched and sorted as come by on the way along the order."""
        return isqrt(int(limit * max(0, extent.high) * _ASK / _SORT))

    def _if_few(self, match: Match, low: int, high: int, few: int) -> list[int] | None:
        """The numbers of all matches, or None if there are more than a few."""
        found: list[int] = []
        stretches = _stretches(low, high, few + 1, upwards=False)
        stretch = next(stretches, None)
        begun_at = high
        while stretch is not None:
            some = self._within(match, stretch, few + 1 - len(found), upwards=False)
            found += some
            # Whoever has many will have shown it long before all are listed.
            looked_at = begun_at - stretch[0] + 1
            share = looked_at / (begun_at - low + 1)
            if len(found) > (few if share == 1 else few * share * (1 if share > 0.1 else 8)):
                return None
            stretch = _next(stretches, len(some))
        return found

    def _numbers(
        self, match: Match | None, low: int, high: int, size: int, *, upwards: bool
    ) -> list[int]:
        """The first `size` numbers of matching rows between those two, both included."""
        if match is None:
            rows = self._connection.execute(
                "SELECT number FROM cards WHERE number BETWEEN ? AND ?"
                f" ORDER BY number {_direction(upwards)} LIMIT ?",
                [low, high, size],
            )
            return [number for (number,) in rows.fetchall()]
        found: list[int] = []
        stretches = _stretches(low, high, size, upwards=upwards)
        stretch = next(stretches, None)
        while stretch is not None and len(found) < size:
            some = self._within(match, stretch, size - len(found), upwards=upwards)
            found += some
            stretch = _next(stretches, len(some))
        return found

    def _within(self, match: Match, stretch: Stretch, size: int, *, upwards: bool) -> list[int]:
        low, high = stretch
        direction = _direction(upwards)
        asked = match.of_text(spans(low, high, _MOST_SPANS))
        if match.has_beginnings and high - low < _BY_ROWS:
            # To ask the index, all words that begin so would have to be put together first.
            asked = match.of_text(None)
            rows = self._connection.execute(
                f"SELECT number FROM (SELECT number, {asked.sql} AS fits FROM texts"
                f" WHERE number BETWEEN ? AND ? ORDER BY number {direction} OFFSET 0) AS each"
                " WHERE fits LIMIT ?",
                [*asked.operands, low, high, size],
            )
            return [number for (number,) in rows.fetchall()]
        rows = self._connection.execute(
            f"WITH found AS MATERIALIZED (SELECT number FROM texts WHERE {asked.sql})"
            f" SELECT number FROM found WHERE number BETWEEN ? AND ?"
            f" ORDER BY number {direction} LIMIT ?",
            [*asked.operands, low, high, size],
        )
        return [number for (number,) in rows.fetchall()]

    def _tally(self, match: Match, low: int, high: int, most: int) -> tuple[int, int]:
        """How many rows match, at least `most` if there are so many, and down to what number."""
        count, counted_to = 0, high + 1
        stretches = _stretches(low, high, most, upwards=False)
        stretch = next(stretches, None)
        while stretch is not None and count < most:
            asked = match.of_text(spans(*stretch, _MOST_SPANS))
            (found,) = self._one(
                f"WITH found AS MATERIALIZED (SELECT number FROM texts WHERE {asked.sql})"
                " SELECT count(*) FROM found WHERE number BETWEEN ? AND ?",
                [*asked.operands, *stretch],
            )
            count, counted_to = count + found, stretch[0]
            stretch = _next(stretches, found)
        return count, counted_to

    def _rarities(self, node: Node, in_all: int, extent: _Extent) -> list[float]:
        told = phrases(node)
        if len(set(told)) < 2:
            return [1.0] * len(told)  # the same for every row
        weights: dict[Node, float] = {}
        for phrase in set(told):
            match = Match(phrase, extent.lacks)
            count, to = self._tally(match, extent.low, extent.high, _MOST_EXACT)
            share = (extent.high - extent.low + 1) / (extent.high - to + 1)
            weights[phrase] = rarity(in_all, count * share)
        return [weights[phrase] for phrase in told]

    def _fitting(self, numbers: list[int], fits: Fragment) -> list[int]:
        """Those of the numbers on whose cards all conditions hold, in the same order."""
        rows = self._connection.execute(
            f"SELECT number FROM cards WHERE number = ANY(?) AND {fits.sql}",
            [numbers, *fits.operands],
        )
        kept = {number for (number,) in rows.fetchall()}
        return [number for number in numbers if number in kept]

    def _extent(self) -> _Extent:
        return _Extent(*self._one(_EXTENT, []))

    def _one(self, sql: str, values: list[Any]) -> tuple[Any, ...]:
        row = self._connection.execute(sql, values).fetchone()
        assert row is not None  # an aggregate always has one
        return row


def _bounds(plan: Plan, extent: _Extent, beyond: int | None) -> Stretch:
    """Between which numbers, both included, to look."""
    lowest, highest = (_OLDEST, _NEWEST) if plan.match is None else extent[:2]
    low = lowest if plan.lowest is None else max(plan.lowest, lowest)
    high = highest if plan.highest is None else min(plan.highest, highest)
    if beyond is None:
        return low, high
    if plan.sort is Sort.OLDEST:
        return max(low, beyond + 1), high
    return low, min(high, beyond - 1)


def _stretches(low: int, high: int, wanted: int, *, upwards: bool) -> Generator[Stretch, int, None]:
    """Stretches of numbers in order; it is to be sent how many matches each had."""
    width = max(_FIRST_STRETCH, 2 * wanted)
    while low <= high:
        # To where a lexeme of its rows ends, so that none of them is fetched for the next as well.
        end = low + width - 1 if upwards else high - width + 1
        first, last = span_of(end, width, _MOST_SPANS)
        stretch = (low, min(high, last)) if upwards else (max(low, first), high)
        width = stretch[1] - stretch[0] + 1
        found = yield stretch
        wanted -= found
        needed = int(1.3 * wanted * width / found) if found else 8 * width
        if upwards:
            low += width
        else:
            high -= width
        width = max(_FIRST_STRETCH, min(needed, 8 * width))


def _next(stretches: Generator[Stretch, int, None], found: int) -> Stretch | None:
    try:
        return stretches.send(found)
    except StopIteration:
        return None


def _direction(upwards: bool) -> str:
    return "ASC" if upwards else "DESC"
