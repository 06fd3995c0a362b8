"""When the next submission may go, by what an account's plan allows and what it has done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.provider_tables import Limits

MINUTE = timedelta(minutes=1)
# No document says where a day begins; what holds for any 24 hours holds for every day.
DAY = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """What one account has done: its requests of the last minute, its generations of the last day.

    `under_way` names the generations that have not ended; until `rest_until` the provider wishes
    to be left alone.
    """

    requested_at: Sequence[datetime] = ()
    begun_at: Sequence[datetime] = ()
    under_way: Sequence[str] = ()
    rest_until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """When the next may go, and what it waits for; None: when one has ended that is under way."""

    at: datetime | None
    because: str = ""


def next_turn(limits: Limits, history: History, now: datetime) -> Turn:
    """The earliest moment, not before `now`, at which no limit is broken."""
    if limits.parallel and len(history.under_way) >= limits.parallel:
        named = ", ".join(sorted(history.under_way)[:3])
        return Turn(at=None, because=f"{limits.parallel} at once: {named} under way")
    turns = [
        Turn(at=now),
        Turn(
            at=_room(history.requested_at, limits.per_minute, MINUTE, now),
            because=f"{limits.per_minute} requests a minute",
        ),
        Turn(
            at=_room(history.begun_at, limits.per_day, DAY, now),
            because=f"{limits.per_day} generations a day",
        ),
    ]
    if history.rest_until is not None:
        turns.append(Turn(at=history.rest_until, because="the provider asks to be left alone"))
    return max(turns, key=lambda turn: turn.at or now)


def least_seconds(limits: Limits, rows: int) -> float:
    """How long so many rows take at the limits' rate, without the drawing, at the very least."""
    before_last = max(rows - 1, 0)
    minutes = before_last // limits.per_minute if limits.per_minute else 0
    days = before_last // limits.per_day if limits.per_day else 0
    return max(minutes * MINUTE, days * DAY).total_seconds()


def _room(moments: Sequence[datetime], most: int, window: timedelta, now: datetime) -> datetime:
    """When the `most`th last of the moments has left the window."""
    recent = sorted(moment for moment in moments if moment > now - window)
    return recent[-most] + window if 0 < most <= len(recent) else now
