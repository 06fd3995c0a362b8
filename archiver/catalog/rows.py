"""The columns that several tables share, how they become values, and how many fit a statement."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from archiver.models import Failure, FailureClass

T = TypeVar("T")

# Far below SQLite's 32,766 values for one statement.
_PORTION = 500

FAILURE_COLUMNS = "failure_class, failure_code, failure_message"


def failure_to_row(failure: Failure | None) -> tuple[str | None, str, str]:
    """A failure as its three columns."""
    if failure is None:
        return None, "", ""
    return failure.failure_class.value, failure.code, failure.message


def failure_from_row(failure_class: Any, code: str, message: str) -> Failure | None:
    """Three columns as a failure."""
    if failure_class is None:
        return None
    return Failure(failure_class=FailureClass(failure_class), code=code, message=message)


def by_slot(
    rows: Iterable[tuple[Any, ...]], from_row: Callable[[tuple[Any, ...]], T]
) -> Mapping[int, tuple[T, ...]]:
    """Rows that begin with their slot's number, and come in its order, as values for each slot."""
    return {
        slot: tuple(from_row(row[1:]) for row in group)
        for slot, group in groupby(rows, key=itemgetter(0))
    }


def in_portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The same items, as many at a time as fit one statement; nothing if there are none."""
    for start in range(0, len(items), _PORTION):
        yield items[start : start + _PORTION]
