"""A query carried out: pages of cards, how many there are in all, and what they are like.

A page goes on from a cursor and never skips or repeats a row, whatever comes in meanwhile; but by
relevance it goes on by place, among the matches that are the newest by then. Where hardly any row
fits, a page in order of time ends when its own time is up, with what was found until then: it is
`partial`, and its cursor goes on from there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from archiver.cards import Card
from archiver.catalog import Tables
from archiver.errors import HoldfastError
from archiver.models import Generation, Slot
from archiver.query import Plan, Query, Sort, plan

# More than this nobody counts, and nobody reads to the end of.
MOST_COUNTED = 10_000
# What the newest are like stands for what all are like.
MOST_SAMPLED = 1000
FACETS = ("provider", "service", "model", "state", "origin", "media_type", "scheduler")
MOST_VALUES = 20

# Rows that are looked at for one answer before it is partial.
_MOST_SCANNED = 10_000

# A number, or the value that is sorted by and the number of the last row.
_CURSOR = re.compile(r"(?:(-1|\d{1,18})\.)?(\d{1,18})", re.ASCII)
_NO_CURSOR = "cursor must be one that a page of this search gave"


class CursorError(HoldfastError):
    """A cursor that no page of such a search has given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One slot that was found, and its prompt as it was told."""

    card: Card
    prompt: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Hits in the order that was asked for; `cursor` goes on after them, None at the end."""

    hits: tuple[Hit, ...]
    cursor: str | None
    partial: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """How many slots a query finds; unless `exact`, at least as many."""

    number: int
    exact: bool


def search(
    tables: Tables,
    query: Query,
    *,
    cursor: str | None = None,
    limit: int,
    late: Callable[[], bool] = lambda: False,
) -> Page:
    """One page; `late` says whether its time is up. Raises CursorError."""
    planned = _planned(tables, query)
    value, beyond = _place(cursor)
    by_value = planned.sort in (Sort.BYTES, Sort.COST)
    if cursor is not None and (value is not None) is not by_value:
        raise CursorError(_NO_CURSOR)
    if by_value:
        return _by_value(tables, planned, value, beyond, limit)
    if planned.sort is Sort.RELEVANCE and planned.match is not None:
        best, begin = tables.walks.ranked(planned), beyond or 0
        end = begin + limit
        return _page(tables, best[begin:end], str(end) if end < len(best) else None)
    numbers, stopped_at = _walk(tables, planned, beyond, limit + 1, late)
    if len(numbers) > limit:
        return _page(tables, numbers[:limit], str(numbers[limit - 1]))
    ends = stopped_at is None
    return _page(tables, numbers, None if ends else str(stopped_at), partial=not ends)


def count(tables: Tables, query: Query, *, late: Callable[[], bool] = lambda: False) -> Count:
    """How many slots it finds, to the first 10,000 and for as long as there is time."""
    planned = _planned(tables, query)
    if not planned.conditions:
        found = tables.walks.count(planned, most=MOST_COUNTED + 1)
        return Count(number=min(found, MOST_COUNTED), exact=found <= MOST_COUNTED)
    numbers, stopped_at = _walk(tables, planned, None, MOST_COUNTED + 1, late)
    return _counted(numbers, stopped_at)


def overview(
    tables: Tables, query: Query, *, late: Callable[[], bool] = lambda: False
) -> tuple[Count, Mapping[str, Mapping[str, int]]]:
    """The count, and how often each value of `FACETS` is met among the newest 1,000.

    The most frequent come first. One walk serves both where there is no counting without one.
    """
    planned = _planned(tables, query)
    if planned.conditions:
        numbers, stopped_at = _walk(tables, planned, None, MOST_COUNTED + 1, late)
        found = _counted(numbers, stopped_at)
    else:
        numbers, _ = _walk(tables, planned, None, MOST_SAMPLED, late)
        found = count(tables, query)
    counts = tables.cards.count_by(FACETS, numbers[:MOST_SAMPLED])
    return found, {
        column: dict(sorted(values.items(), key=lambda it: (-it[1], it[0]))[:MOST_VALUES])
        for column, values in counts.items()
    }


def find(tables: Tables, number: int) -> tuple[Generation, Slot] | None:
    """The slot with that archive number and the generation that it is of, or None."""
    generation = tables.generations.load_slot(number)
    if generation is None:
        return None
    return generation, next(slot for slot in generation.slots if slot.number == number)


def _planned(tables: Tables, query: Query) -> Plan:
    planned = plan(query)
    # Only where a range is left over is it worth looking up which values there are.
    return plan(query, known=tables.cards.values()) if planned.conditions else planned


def _counted(numbers: Sequence[int], stopped_at: int | None) -> Count:
    exact = stopped_at is None and len(numbers) <= MOST_COUNTED
    return Count(number=min(len(numbers), MOST_COUNTED), exact=exact)


def _place(cursor: str | None) -> tuple[int | None, int | None]:
    """The value, if the order is one of values, and the number after which to go on."""
    if cursor is None:
        return None, None
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise CursorError(_NO_CURSOR)
    value, number = found.groups()
    return None if value is None else int(value), int(number)


def _by_value(
    tables: Tables, planned: Plan, value: int | None, beyond: int | None, limit: int
) -> Page:
    place = None if value is None or beyond is None else (value, beyond)
    rows = tables.walks.sorted(planned, beyond=place, limit=limit + 1)
    cursor = "{}.{}".format(*rows[limit - 1]) if len(rows) > limit else None
    return _page(tables, [number for _, number in rows[:limit]], cursor)


def _walk(
    tables: Tables, planned: Plan, beyond: int | None, limit: int, late: Callable[[], bool]
) -> tuple[list[int], int | None]:
    """Numbers in order, at most `limit`; and where it stopped looking, None if at the end."""
    found: list[int] = []
    scanned = 0
    for step in tables.walks.steps(planned, beyond=beyond, limit=limit):
        found += step.numbers
        scanned += step.looked_at
        if len(found) >= limit:
            return found[:limit], found[limit - 1]
        if planned.conditions and (scanned >= _MOST_SCANNED or late()):
            return found, step.last
    return found, None


def _page(tables: Tables, numbers: list[int], cursor: str | None, *, partial: bool = False) -> Page:
    cards = tables.cards.load(numbers)
    hits = tuple(Hit(card=card, prompt=prompt) for card, prompt in map(cards.__getitem__, numbers))
    return Page(hits=hits, cursor=cursor, partial=partial)
