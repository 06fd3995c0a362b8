"""A clock that was set: leases, waits and verdicts, by whichever clock they were come by."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from archiver import leaps
from archiver.catalog import Tables
from archiver.ledger import keep
from archiver.lifecycle import lose_link
from archiver.models import Failure, FailureClass
from archiver.work import Job, JobKind, JobState, WantedJob
from tests.archiver.generated import URL, joined, succeeded
from tests.clocks import NOON

HOUR, YEAR = timedelta(hours=1), timedelta(days=365)
JUMPS = [HOUR, YEAR, -HOUR, -YEAR]
SECOND = timedelta(seconds=1)
LEASE_SECONDS = 30.0


def under_way(tables: Tables, kind: JobKind = JobKind.SEAL, *, now: datetime = NOON) -> Job:
    """A job that somebody has just leased."""
    tables.jobs.want([WantedJob(kind=kind, subject=1, target="1")], now=now)
    (job,) = tables.jobs.claim(kind, limit=1, worker="w", lease_seconds=LEASE_SECONDS, now=now)
    return job


def given_up(tables: Tables, *, now: datetime) -> int:
    """A generation whose only link has been lost; its archive number."""
    known = keep(tables, None, joined(None, succeeded("1", URL)), now=now)
    (slot,) = known.slots
    (link,) = slot.links
    assert slot.number is not None
    (job,) = tables.jobs.claim(
        JobKind.FETCH, limit=1, worker="w", lease_seconds=LEASE_SECONDS, now=now
    )
    tables.jobs.finish(job, JobState.DISCARDED, reason="500", now=now)
    lost = Failure(failure_class=FailureClass.DEAD, code="server")
    keep(tables, known, lose_link(known, slot.index, link.url_sha256, lost), now=now)
    return slot.number


def state(tables: Tables, kind: JobKind, subject: int) -> JobState:
    job = tables.jobs.of(kind, subject)
    assert job is not None
    return job.state


@pytest.mark.parametrize("by", JUMPS)
@pytest.mark.parametrize("kind", [JobKind.SEAL, JobKind.RENDER])
def test_whoever_lives_keeps_a_lease(tables: Tables, by: timedelta, kind: JobKind) -> None:
    """However the clock is set, the lease holds long enough to be renewed by the new one."""
    leaps.note_time(tables, now=NOON)
    job = under_way(tables, kind)
    leaps.settle_leap(tables, now=NOON + by)
    assert tables.jobs.recover(now=NOON + by + SECOND * LEASE_SECONDS) == 0
    tables.jobs.finish(job, JobState.COMPLETED, now=NOON + by)


@pytest.mark.parametrize("by", JUMPS)
def test_whoever_died_loses_it_all_the_same(tables: Tables, by: timedelta) -> None:
    """A minute by the new clock, and not a year, and a job that nobody does is taken back."""
    leaps.note_time(tables, now=NOON)
    under_way(tables)
    leaps.settle_leap(tables, now=NOON + by)
    assert tables.jobs.recover(now=NOON + by + 61 * SECOND) == 1


def test_time_that_goes_on_takes_leases_as_ever(tables: Tables) -> None:
    """As long as time is noted now and then, nothing is a leap."""
    leaps.note_time(tables, now=NOON)
    under_way(tables)
    for seconds in range(5, 35, 5):
        leaps.note_time(tables, now=NOON + seconds * SECOND)
    assert tables.jobs.recover(now=NOON + 31 * SECOND) == 1


@pytest.mark.parametrize("ahead", [HOUR, YEAR])
def test_no_wait_becomes_longer(tables: Tables, ahead: timedelta) -> None:
    """What was to be tried again in five minutes is, when the clock is set back."""
    leaps.note_time(tables, now=NOON + ahead)
    job = under_way(tables, now=NOON + ahead)
    run_at = NOON + ahead + timedelta(minutes=5)
    tables.jobs.finish(job, JobState.SCHEDULED, run_at=run_at, now=NOON + ahead)
    leaps.settle_leap(tables, now=NOON)
    assert tables.jobs.promote(now=NOON + timedelta(minutes=4)) == 0
    assert tables.jobs.promote(now=NOON + timedelta(minutes=5)) == 1
    again = under_way(tables, now=NOON)
    assert again.first_attempt_at == NOON


def test_what_is_in_time_is_not_hastened(tables: Tables) -> None:
    """Ahead, and after a wait that is over, nothing is changed that waits for the true time."""
    leaps.note_time(tables, now=NOON)
    job = under_way(tables)
    tables.jobs.finish(job, JobState.SCHEDULED, run_at=NOON + 2 * YEAR, now=NOON)
    leaps.settle_leap(tables, now=NOON + YEAR)
    assert tables.jobs.promote(now=NOON + YEAR) == 0


@pytest.mark.parametrize(("ahead", "then"), [(YEAR, "available"), (timedelta(0), "discarded")])
def test_links_that_died_too_early_are_tried_again(
    tables: Tables, ahead: timedelta, then: str
) -> None:
    """When the clock is set back, those that it had outlived live; what else was lost stays so."""
    leaps.note_time(tables, now=NOON + ahead)
    number = given_up(tables, now=NOON + ahead)
    assert state(tables, JobKind.FETCH, number) == "discarded"
    leaps.note_time(tables, now=NOON + SECOND)
    assert state(tables, JobKind.FETCH, number) == then


def test_a_clock_that_was_never_ahead_undoes_nothing(tables: Tables) -> None:
    """A host that starts with an old clock has given up nothing too early."""
    leaps.note_time(tables, now=NOON)
    number = given_up(tables, now=NOON + SECOND)
    leaps.note_time(tables, now=NOON + HOUR)
    leaps.note_time(tables, now=NOON - YEAR)
    assert state(tables, JobKind.FETCH, number) == "discarded"


def test_messages_that_were_given_up_too_early_are_sent_again(tables: Tables) -> None:
    """A receiver that believes no message from next year is told once it is this year."""
    leaps.note_time(tables, now=NOON + YEAR)
    job = under_way(tables, JobKind.NOTIFY, now=NOON + YEAR)
    tables.jobs.finish(job, JobState.DISCARDED, reason="400", now=NOON + YEAR)
    leaps.settle_leap(tables, now=NOON)
    assert state(tables, JobKind.NOTIFY, job.subject) == "available"


def test_a_leap_is_made_good_once(tables: Tables) -> None:
    """Waits are not shortened again at each look."""
    leaps.note_time(tables, now=NOON + HOUR)
    job = under_way(tables, now=NOON + HOUR)
    run_at = NOON + 3 * HOUR
    tables.jobs.finish(job, JobState.SCHEDULED, run_at=run_at, now=NOON + HOUR)
    for seconds in range(3):
        leaps.settle_leap(tables, now=NOON + seconds * SECOND)
    assert tables.jobs.promote(now=NOON + HOUR) == 0
    assert tables.jobs.promote(now=NOON + 2 * HOUR) == 1


@pytest.mark.parametrize(("by", "is_steady"), [(14 * SECOND, True), (HOUR, False), (-HOUR, False)])
def test_a_desk_waits_for_the_archive(tables: Tables, by: timedelta, is_steady: bool) -> None:
    """Who cannot put a leap right takes no lease away before that is done."""
    assert leaps.is_time_steady(tables, now=NOON + by)
    leaps.note_time(tables, now=NOON)
    assert leaps.is_time_steady(tables, now=NOON + by) == is_steady
    leaps.settle_leap(tables, now=NOON + by)
    assert leaps.is_time_steady(tables, now=NOON + by)
