"""The drawings in the queue: had by number, known by id and fence, refused and offered again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from archiver.catalog import Tables
from archiver.catalog.leases import MAX_CRASHES
from archiver.work import Job, JobKind, JobState, WantedJob
from tests.archiver.catalog.test_jobs import FETCH, RENDER, claim, fetch, force, row, want
from tests.clocks import NOON

REFUSED = "no checkpoint draws it"


def render(number: int) -> WantedJob:
    """A slot that is to be drawn."""
    return WantedJob(kind=RENDER, subject=number, target="aa")


def lease(tables: Tables, number: int) -> Job | None:
    """A claim of that slot."""
    return tables.renders.claim(number, worker="by hand", lease_seconds=60, now=NOON)


@pytest.mark.parametrize("state", JobState)
def test_by_number_a_slot_is_had_however_it_stands(tables: Tables, state: JobState) -> None:
    """Unless somebody is at it; and nobody else's job is had with it."""
    want(tables, render(1), render(2), fetch(1))
    tables.connection.execute(
        "UPDATE jobs SET state=?, run_at=1, finished_at=2, attempts=3, fence=7, leased_by='other'"
        " WHERE kind='render' AND subject=1",
        (state.value,),
    )
    job = lease(tables, 1)
    if state is JobState.RUNNING:
        assert (job, tables.renders.holder(1)) == (None, "other")
        return
    assert job is not None
    assert (job.kind, job.subject, job.attempts, job.fence) == (RENDER, 1, 4, 8)
    leased = row(tables, 1, RENDER)
    assert (leased["state"], leased["run_at"], leased["finished_at"]) == ("running", None, None)
    assert tables.renders.holder(1) == "by hand"
    assert (row(tables, 2, RENDER)["state"], row(tables, 1)["state"]) == ("available",) * 2
    assert (lease(tables, 9), tables.renders.holder(2)) == (None, "")


def test_a_lease_is_known_by_its_id_and_fence(tables: Tables) -> None:
    """Whoever shows those of the latest claim is told how it stands; of no other kind of job."""
    want(tables, render(1), fetch(1))
    (job,) = claim(tables, kind=RENDER)
    assert tables.renders.leased(job.id, job.fence) == (job, JobState.RUNNING)
    assert tables.renders.leased(job.id, job.fence - 1) is None
    tables.jobs.cancel(RENDER, 1, now=NOON)
    assert tables.renders.leased(job.id, job.fence) == (job, JobState.CANCELLED)
    (other,) = claim(tables, kind=FETCH)
    assert tables.renders.leased(other.id, other.fence) is None


def test_what_was_refused_is_offered_again(tables: Tables) -> None:
    """Not what is final or has killed too many, and no other kind of job."""
    want(tables, *(render(number) for number in range(1, 5)), fetch(9))
    for job in claim(tables, kind=RENDER)[:3]:
        tables.jobs.finish(job, JobState.HELD, reason=REFUSED, now=NOON)
    tables.connection.execute("UPDATE jobs SET state='discarded' WHERE subject=2")
    tables.connection.execute("UPDATE jobs SET crashes=? WHERE subject=3", (MAX_CRASHES,))
    force(tables, JobState.HELD, 9)
    tables.renders.offer_again()
    states = [row(tables, number, RENDER)["state"] for number in range(1, 5)]
    assert states == ["available", "discarded", "held", "running"]
    assert row(tables, 9)["state"] == "held"


def test_refusals_are_counted_by_their_reason(tables: Tables) -> None:
    """The most frequent first; what waits or runs was not refused."""
    assert tables.renders.refusals() == {}
    want(tables, *(render(number) for number in range(1, 6)), fetch(9))
    reasons = ["too large", REFUSED, REFUSED]
    for reason, job in zip(reasons, claim(tables, kind=RENDER), strict=False):
        state = JobState.DISCARDED if reason == "too large" else JobState.HELD
        tables.jobs.finish(job, state, reason=reason, now=NOON)
    force(tables, JobState.HELD, 9)
    assert list(tables.renders.refusals().items()) == [(REFUSED, 2), ("too large", 1)]


@pytest.mark.parametrize("state", JobState)
def test_a_drawing_is_taken_back_even_from_under_its_renderer(
    tables: Tables, state: JobState
) -> None:
    """And when it was refused before; what has ended stays as it is."""
    want(tables, render(1))
    tables.connection.execute(
        "UPDATE jobs SET state=?, attempts=3, leased_by='one', lease_until=1", (state.value,)
    )
    tables.jobs.cancel(JobKind.RENDER, 1, now=NOON)
    ended = state in (JobState.COMPLETED, JobState.DISCARDED, JobState.CANCELLED)
    after = row(tables, 1, RENDER)
    assert after["state"] == (state.value if ended else "cancelled")
    assert after["leased_by"] == ("one" if ended else None)


def test_one_kind_may_be_left_to_itself(tables: Tables) -> None:
    """Those who lease it may outlive whoever takes the others' leases back."""
    want(tables, render(1), fetch(1))
    claim(tables, kind=RENDER)
    claim(tables)
    later = NOON + timedelta(hours=1)
    assert tables.jobs.recover(now=later, but=RENDER) == 1
    assert (row(tables)["state"], row(tables, 1, RENDER)["state"]) == ("available", "running")
    assert tables.jobs.recover(now=later) == 1
    assert row(tables, 1, RENDER)["state"] == "available"
