"""What a search can be narrowed by, and the orders it can have: each a query one click away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from archiver.query import Sort
from archiver.web.refining import Refining, condition

# The field by which a column of cards is asked for, where it has another name.
_FIELDS = {"media_type": "type"}
_ORDERS = {
    Sort.NEWEST: "newest",
    Sort.OLDEST: "oldest",
    Sort.RELEVANCE: "best match",
    Sort.BYTES: "largest",
    Sort.COST: "dearest",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Something to choose, and the query that follows: of what is `chosen`, the one without it.

    `query` is None where the language has no words for it.
    """

    name: str
    query: str | None
    chosen: bool
    count: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The values of one field, the most frequent first."""

    title: str
    choices: tuple[Choice, ...]


def groups(
    facets: Mapping[str, Mapping[str, int]], refining: Refining, *, now: datetime
) -> list[Group]:
    """The values that are met in what was found, by field."""
    found = []
    for column, counts in facets.items():
        field = _FIELDS.get(column, column)
        choices = [_choice(field, value, number, refining, now) for value, number in counts.items()]
        if choices:
            found.append(Group(title=field, choices=tuple(choices)))
    return found


def orders(refining: Refining, current: Sort) -> list[Choice]:
    """Every order that there is."""
    return [
        Choice(name=name, query=refining.sorted_by(sort), chosen=sort is current)
        for sort, name in _ORDERS.items()
    ]


def _choice(field: str, value: str, number: int, refining: Refining, now: datetime) -> Choice:
    without = refining.without_condition(field, value)
    if without is not None:
        return Choice(name=value, query=without, chosen=True, count=number)
    typed = condition(field, value, now=now)
    refined = refining.with_condition(typed) if typed is not None else None
    return Choice(name=value, query=refined, chosen=False, count=number)
