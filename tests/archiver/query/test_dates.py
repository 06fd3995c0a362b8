"""Dates are whole days, months and years in UTC; an age is the time since then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from archiver.moments import from_millis
from archiver.query.dates import moments

NOW = datetime(2026, 3, 31, 12, 30, 15, tzinfo=UTC)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

# What is typed, its first moment, and the first that it is over; None is no bound.
SPANS = {
    "2026": ((2026, 1, 1), (2027, 1, 1)),
    "2026-02": ((2026, 2, 1), (2026, 3, 1)),
    "2026-12": ((2026, 12, 1), (2027, 1, 1)),
    "2024-02-29": ((2024, 2, 29), (2024, 3, 1)),
    "2026/3/9": ((2026, 3, 9), (2026, 3, 10)),
    "2026-03-09T10": ((2026, 3, 9, 10), (2026, 3, 9, 11)),
    "2026-03-09t10:05": ((2026, 3, 9, 10, 5), (2026, 3, 9, 10, 6)),
    "2026-03-09 10:05:07Z": ((2026, 3, 9, 10, 5, 7), (2026, 3, 9, 10, 5, 8)),
    "2026-03-09T00:00+05:30": ((2026, 3, 8, 18, 30), (2026, 3, 8, 18, 31)),
    "2026-03-09T22:00-03:00": ((2026, 3, 10, 1), (2026, 3, 10, 1, 1)),
    "today": ((2026, 3, 31), (2026, 4, 1)),
    "Yesterday": ((2026, 3, 30), (2026, 3, 31)),
    "2025..2026-02": ((2025, 1, 1), (2026, 3, 1)),
    "2026-02..2025": ((2025, 1, 1), (2026, 3, 1)),
    "2026..": ((2026, 1, 1), None),
    "..2026-02": (None, (2026, 3, 1)),
    "<2026-02": (None, (2026, 2, 1)),
    "<=2026-02": (None, (2026, 3, 1)),
    ">2026-02": ((2026, 3, 1), None),
    ">=2026-02": ((2026, 2, 1), None),
    "30min": ((2026, 3, 31, 12, 0, 15), None),
    "12h": ((2026, 3, 31, 0, 30, 15), None),
    "7D": ((2026, 3, 24, 12, 30, 15), None),
    "2w": ((2026, 3, 17, 12, 30, 15), None),
    "1mo": ((2026, 2, 28, 12, 30, 15), None),
    "13mo": ((2025, 2, 28, 12, 30, 15), None),
    "25mo": ((2024, 2, 29, 12, 30, 15), None),
    "1y": ((2025, 3, 31, 12, 30, 15), None),
    ">=2w": ((2026, 3, 17, 12, 30, 15), None),
    "<2w": (None, (2026, 3, 17, 12, 30, 15)),
}
NONE = [
    "", "..", ">", "now", "2026-", "26-03-09", "2026-13", "2026-02-30", "2026-00", "0000", "10:05",
    "2026-03-09T24", "2026-03-09T10:60", "2026-03-09T10:05+25:00", "7", "7m", "d", "-7d", "7.5d",
    "1234567d", "2026-02..soon", "2026--02", "..>2026", "2026-03-09Z",
]  # fmt: skip


def moment(date: tuple[int, ...] | None) -> datetime | None:
    return datetime(*date, tzinfo=UTC) if date else None


@pytest.mark.parametrize(("text", "span"), SPANS.items())
def test_reads_dates(text: str, span: tuple[tuple[int, ...] | None, ...]) -> None:
    """From the first millisecond that is meant to the last."""
    found = moments(text, NOW)
    assert found is not None
    begins, over = map(moment, span)
    assert from_millis(found.low) == begins
    assert from_millis(found.high) == (over and over - timedelta(milliseconds=1))


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_date_is_none(text: str) -> None:
    """A month, day or hour that is in no calendar is no date either."""
    assert moments(text, NOW) is None


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("999999y", FIRST, None),
        ("999999w", FIRST, None),
        ("9999", datetime(9999, 1, 1, tzinfo=UTC), LAST),
        ("9999-12", datetime(9999, 12, 1, tzinfo=UTC), LAST),
        ("9999-12-31T23:59:59", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), LAST),
    ],
)
def test_time_has_ends(text: str, low: datetime, high: datetime | None) -> None:
    """Beyond what a calendar can hold there is nothing to find, and no error."""
    found = moments(text, NOW)
    assert found is not None
    assert from_millis(found.low) == low
    last = from_millis(found.high)
    assert (last is None) == (high is None)
    assert last is None or high - last < timedelta(milliseconds=3)


def test_days_are_those_of_utc() -> None:
    """Today is not what it is where somebody's clock stands, but where the archive counts."""
    in_tokyo = datetime(2026, 4, 1, 2, 0, tzinfo=timezone(timedelta(hours=9)))
    assert moments("today", in_tokyo) == moments("2026-03-31", NOW)
