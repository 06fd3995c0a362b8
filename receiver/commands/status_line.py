"""A line of `holdfast status`: what it is about, a sentence, and how urgent that is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

_MINUTE, _HOUR, _DAY = 60, 3600, 24 * 3600


class Urgency(IntEnum):
    """In what order lines are read."""

    LOSS = 0  # something is lost unless somebody looks
    AMISS = 1
    CALM = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One fact."""

    subject: str
    sentence: str
    urgency: Urgency = Urgency.CALM


def by_urgency(lines: Iterable[Line]) -> Sequence[Line]:
    """The most urgent first, else as they come."""
    return sorted(lines, key=lambda line: line.urgency)


def lasting(seconds: float) -> str:
    """A time as people say it: `45 s`, `12 min`, `3.4 h`, `5.2 days`."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.1f} h"
    return f"{seconds / _DAY:.1f} days"
