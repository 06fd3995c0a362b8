"""A clock that was set, by a little or by a year, while the archive is at work.

Leases, waits and deadlines are moments of the clock on the wall, for they have to outlive their
process and its host. So the archive notes every few seconds what time it is, and when that does
not go on from where it was, what had followed from the other time is put right, in one transaction
and before anything follows from the new one: nobody alive loses a lease, no wait becomes longer,
and what was given up because a clock had run ahead is tried again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from archiver.catalog import Tables
from archiver.catalog.deliveries import ARCHIVE
from archiver.ledger import keep
from archiver.log import logger
from archiver.models import Generation
from archiver.revival import revive_links, wait_again
from archiver.work import JobKind, WantedJob

# Time is noted more often than this, and leases are renewed so often that they last as much longer.
LEAP = timedelta(seconds=15)
# Under whose name the heartbeats say when time last leapt ahead.
_LEAP_AHEAD = "leap ahead"
# As long as the longest lease: whoever lives has renewed it by then.
_GRACE = timedelta(seconds=60)


def note_time(tables: Tables, *, now: datetime) -> None:
    """Notes the time, as the archive's sign of life; see `settle_leap`."""
    settle_leap(tables, now=now)
    tables.deliveries.beat(ARCHIVE, now=now)


def settle_leap(tables: Tables, *, now: datetime) -> None:
    """Puts right what a leap of time since it was last noted would do; for the archive alone."""
    noted_at = tables.deliveries.last_beat_at(ARCHIVE)
    if noted_at is None or abs(now - noted_at) <= LEAP:
        return
    tables.leaps.renew(until=now + _GRACE)
    if now < noted_at:
        tables.leaps.bring_forward(noted_at - now, now=now)
        # A clock that ran ahead had leapt there: what was given up long before, was so in time.
        leapt_at = tables.deliveries.last_beat_at(_LEAP_AHEAD) or now
        tried_again = _try_again(tables, max(now, leapt_at - _GRACE), now)
        seconds = round((noted_at - now).total_seconds())
        logger().warning("the clock was set back", seconds=seconds, tried_again=tried_again)
    else:
        tables.deliveries.beat(_LEAP_AHEAD, now=now)
        logger().info("time has leapt ahead", seconds=round((now - noted_at).total_seconds()))
    tables.deliveries.beat(ARCHIVE, now=now)


def is_time_steady(tables: Tables, *, now: datetime) -> bool:
    """Whether no leap waits for the archive to put things right, so that leases tell the truth."""
    noted_at = tables.deliveries.last_beat_at(ARCHIVE)
    return noted_at is None or abs(now - noted_at) <= LEAP


def _try_again(tables: Tables, since: datetime, now: datetime) -> int:
    """Revives what was given up since a time that is yet to come; how much that was."""
    given_up = tables.leaps.given_up_since(since)
    for kind, subject, target in given_up:
        if kind is JobKind.NOTIFY:
            again = WantedJob(kind=kind, subject=subject, target=target)
            tables.jobs.want([again], now=now)
            continue
        load = (
            tables.generations.load_slot if kind is JobKind.FETCH else tables.generations.load_key
        )
        before = load(subject)
        if before is not None:
            keep(tables, before, _revived(before, kind, subject, now), now=now)
    return len(given_up)


def _revived(before: Generation, kind: JobKind, subject: int, now: datetime) -> Generation:
    if kind is JobKind.POLL:
        return wait_again(before)
    index = next(slot.index for slot in before.slots if slot.number == subject)
    return revive_links(before, index, now=now)
