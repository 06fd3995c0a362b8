"""Dates, moments and ages as people write them, in milliseconds since 1970; all are UTC."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone

from archiver.moments import to_millis
from archiver.query.values import Interval, Span, interval

_DATE = re.compile(
    r"(\d{4})(?:[-/](\d{1,2})(?:[-/](\d{1,2})"
    r"(?:[T ](\d{1,2})(?::(\d{2})(?::(\d{2}))?)?(Z|[+-]\d{2}:\d{2})?)?)?)?",
    re.IGNORECASE,
)
_AGE = re.compile(r"(\d{1,6})(min|h|d|w|mo|y)", re.IGNORECASE)

_UNITS = {
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_MONTHS = {"mo": 1, "y": 12}
# How long a date is that says so much: a day, an hour, a minute, a second.
_LENGTHS = {3: timedelta(days=1), 4: timedelta(hours=1), 5: timedelta(minutes=1)}

# What a date means that says no more.
_FIRST = (1, 1, 1, 0, 0, 0)

_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)


def moments(text: str, now: datetime) -> Interval | None:
    """What a date, a range or comparison of dates, or an age stands for; None if it is none.

    An age alone, `7d`, is from then on. In a range or comparison it is that very moment: `<7d` is
    what happened before it, and so what is older.
    """
    ago = _ago(text, now)
    if ago is not None:
        return Interval(ago, None)
    return interval(text, lambda part: _span(part, now))


def _span(text: str, now: datetime) -> Span | None:
    ago = _ago(text, now)
    if ago is not None:
        return ago, ago
    if text.lower() in ("today", "yesterday"):
        day = now.astimezone(UTC) - timedelta(days=text.lower() == "yesterday")
        return _dated([day.year, day.month, day.day], UTC)
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    *numbers, zone = found.groups()
    try:
        return _dated([int(number) for number in numbers if number], _zone(zone))
    except ValueError:
        return None  # a thirteenth month and the like


def _dated(numbers: list[int], zone: timezone) -> Span:
    """The first and last millisecond of a year, a month, or whatever is said."""
    year, month, day, hour, minute, second = (*numbers, *_FIRST[len(numbers) :])
    start = datetime(year, month, day, hour, minute, second, tzinfo=zone)
    return to_millis(start), to_millis(_end(start, len(numbers))) - 1


def _end(start: datetime, said: int) -> datetime:
    """The moment after a date of which so many numbers are said."""
    try:
        if said == 1:
            return start.replace(year=start.year + 1)
        if said == 2:
            return (start + timedelta(days=31)).replace(day=1)
        return start + _LENGTHS.get(said, timedelta(seconds=1))
    except (ValueError, OverflowError):
        return _LATEST


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    ahead = timedelta(hours=int(text[1:3]), minutes=int(text[4:6]))
    return timezone(-ahead if text[0] == "-" else ahead)


def _ago(text: str, now: datetime) -> int | None:
    """The moment that was so long ago; the beginning of time if that is longer than all time."""
    found = _AGE.fullmatch(text)
    if found is None:
        return None
    count, unit = int(found[1]), found[2].lower()
    try:
        if unit in _MONTHS:
            return to_millis(_months_before(now, count * _MONTHS[unit]))
        return to_millis(now - count * _UNITS[unit])
    except (ValueError, OverflowError):
        return to_millis(_EARLIEST)


def _months_before(now: datetime, months: int) -> datetime:
    """The same day so many months ago, or that month's last."""
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    last_day = monthrange(year, month + 1)[1]
    return now.replace(year=year, month=month + 1, day=min(now.day, last_day))
