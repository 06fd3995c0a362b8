"""The queue: who gets what, in which order, and who may say that it is done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.catalog import Tables
from archiver.catalog.leases import MAX_CRASHES
from archiver.errors import LeaseLostError
from archiver.moments import from_millis, to_millis
from archiver.work import Job, JobKind, JobState, WantedJob
from tests.archiver.catalog.scratch import scratch
from tests.clocks import NOON, FrozenClock

LEASE_SECONDS = 30.0
FETCH, SEAL, RENDER = JobKind.FETCH, JobKind.SEAL, JobKind.RENDER
DERIVE = JobKind.DERIVE


def fetch(subject: int, hours: float | None = 1.0, **changes: Any) -> WantedJob:
    """A wanted fetch whose link dies so many hours after noon."""
    deadline_at = None if hours is None else NOON + timedelta(hours=hours)
    given = {"target": "aa", "host": "cdn.doitong.com", "deadline_at": deadline_at, **changes}
    return WantedJob(kind=FETCH, subject=subject, **given)


def want(tables: Tables, *jobs: WantedJob) -> None:
    tables.jobs.want(jobs, now=NOON)


def claim(
    tables: Tables, limit: int = 99, *, kind: JobKind = FETCH, now: datetime = NOON, **more: Any
) -> list[Job]:
    given = {"worker": "worker-1", "lease_seconds": LEASE_SECONDS, **more}
    return tables.jobs.claim(kind, limit=limit, now=now, **given)


def subjects(jobs: list[Job]) -> list[int]:
    return [job.subject for job in jobs]


def row(tables: Tables, subject: int = 1, kind: JobKind = FETCH) -> dict[str, Any]:
    """All that the table says of one job."""
    cursor = tables.connection.execute(
        "SELECT * FROM jobs WHERE kind = ? AND subject = ?", (kind.value, subject)
    )
    names = [name for name, *_ in cursor.description]
    return dict(zip(names, cursor.fetchone(), strict=True))


def force(tables: Tables, state: JobState, subject: int = 1) -> None:
    """Puts a row into a state with traces of a past in every column."""
    tables.connection.execute(
        "UPDATE jobs SET state=?, reason='because', run_at=1, attempts=3, crashes=2,"
        " first_attempt_at=4, leased_by='w', lease_until=5, fence=6, finished_at=7"
        " WHERE subject=?",
        (state.value, subject),
    )


# Claiming -----------------------------------------------------------------------------------------


def test_live_deadlines_come_first_the_earliest_first(tables: Tables) -> None:
    """Links that can still be saved are served before those that are dead on paper."""
    hours = [5, -3, 3, -1, 9, None, 1, 0]
    want(tables, *(fetch(subject, hour) for subject, hour in enumerate(hours)))
    expected = [5, 6, 2, 0, 4, 1, 3, 7]  # none, 1, 3, 5, 9; then -3, -1, 0
    assert expected == [claim(tables, 1)[0].subject for _ in hours]
    assert claim(tables) == []


@settings(deadline=None)
@given(
    hours=st.lists(st.integers(-3, 3) | st.none(), max_size=8),
    limits=st.lists(st.integers(1, 4), min_size=8, max_size=8),
)
def test_any_sizes_of_claims_give_the_same_order(
    migrated: Path, hours: list[int | None], limits: list[int]
) -> None:
    """Whoever claims a few at a time gets them in the order of one who claims all."""

    def urgency(subject: int) -> tuple[bool, bool, int, int]:
        hour = hours[subject]
        return hour is not None and hour <= 0, hour is not None, hour or 0, subject

    with scratch(migrated) as tables:
        want(tables, *(fetch(subject, hour) for subject, hour in enumerate(hours)))
        claimed = [job for limit in limits for job in claim(tables, limit)]
        assert sorted(range(len(hours)), key=urgency) == subjects(claimed)


def test_a_claim_says_all_that_a_performer_needs(tables: Tables) -> None:
    """The job comes with its target, its deadline and the proof of its lease."""
    want(tables, fetch(7))
    later = NOON + timedelta(minutes=1)
    (job,) = claim(tables, now=later)
    assert job == Job(
        id=job.id,
        kind=FETCH,
        subject=7,
        target="aa",
        host="cdn.doitong.com",
        deadline_at=NOON + timedelta(hours=1),
        attempts=1,
        first_attempt_at=later,
        fence=1,
    )
    leased = row(tables, 7)
    assert (leased["state"], leased["leased_by"]) == ("running", "worker-1")
    assert leased["lease_until"] == to_millis(later + timedelta(seconds=LEASE_SECONDS))


def test_kinds_do_not_mix(tables: Tables) -> None:
    """A claim of one kind never takes another's job, even of the same subject."""
    want(tables, fetch(1), WantedJob(kind=SEAL, subject=1, target="1"))
    assert [job.kind for job in claim(tables, kind=SEAL)] == [SEAL]
    assert [job.kind for job in claim(tables)] == [FETCH]
    assert claim(tables, kind=RENDER) == []


def test_a_busy_host_is_passed_over(tables: Tables) -> None:
    """What is most urgent waits if its host is busy; others go on, expired ones too."""
    hosts = {1: "a", 2: "b", 3: "c", 4: "a", 5: "b"}
    want(tables, *(fetch(n, n if n < 4 else -n, host=host) for n, host in hosts.items()))
    assert subjects(claim(tables, busy_hosts=["a", "c"])) == [2, 5]
    assert subjects(claim(tables, busy_hosts=["a"])) == [3]
    assert subjects(claim(tables)) == [1, 4]


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.AVAILABLE])
def test_only_available_jobs_are_claimed(tables: Tables, state: JobState) -> None:
    """Nobody gets what waits, rests, is held or is already under way."""
    want(tables, fetch(1))
    force(tables, state)
    assert claim(tables) == []


def test_a_scheduled_job_waits_for_its_time(tables: Tables) -> None:
    """It is promoted when its time has come, not a moment earlier."""
    clock = FrozenClock()
    want(tables, fetch(1))
    (job,) = claim(tables)
    at = NOON + timedelta(seconds=10)
    tables.jobs.finish(job, JobState.SCHEDULED, reason="busy", run_at=at, now=clock())
    promoted = []
    for seconds in (0, 9.999, 0.001, 0):
        now = clock.advance(seconds=seconds)
        promoted.append((tables.jobs.promote(now=now), subjects(claim(tables, now=now))))
    assert promoted == [(0, []), (0, []), (1, [1]), (0, [])]
    assert row(tables)["run_at"] is None


# Leases -------------------------------------------------------------------------------------------


def test_an_outcome_ends_the_lease(tables: Tables) -> None:
    """A finished job says how and when it ended; a scheduled one has not ended."""
    endings = [state for state in JobState if state is not JobState.RUNNING]
    unfinished = {JobState.SCHEDULED, JobState.AVAILABLE}
    want(tables, *(fetch(subject) for subject in range(len(endings))))
    for job, state in zip(claim(tables), endings, strict=True):
        tables.jobs.finish(job, state, reason="so", now=NOON)
        after = row(tables, job.subject)
        assert (after["state"], after["reason"]) == (state.value, "so")
        assert (after["leased_by"], after["lease_until"]) == (None, None)
        assert after["finished_at"] == (None if state in unfinished else to_millis(NOON))


def test_a_job_is_finished_once(tables: Tables) -> None:
    """The second outcome of one claim is refused and changes nothing."""
    want(tables, fetch(1))
    (job,) = claim(tables)
    tables.jobs.finish(job, JobState.COMPLETED, now=NOON)
    before = row(tables)
    with pytest.raises(LeaseLostError, match="passed to another worker"):
        tables.jobs.finish(job, JobState.DISCARDED, reason="late", now=NOON)
    assert before == row(tables)


@pytest.mark.parametrize("claimed_again", [False, True])
def test_a_stale_outcome_changes_nothing(tables: Tables, claimed_again: bool) -> None:
    """A worker thought dead that wakes up again cannot end what is another's, or nobody's."""
    clock = FrozenClock()
    want(tables, fetch(1))
    (stale,) = claim(tables)
    tables.jobs.recover(now=clock.advance(seconds=LEASE_SECONDS + 1))
    fresh = claim(tables, worker="worker-2", now=clock()) if claimed_again else []
    before = row(tables)
    with pytest.raises(LeaseLostError):
        tables.jobs.finish(stale, JobState.COMPLETED, now=clock())
    tables.jobs.heartbeat([stale], lease_seconds=999, now=clock())
    tables.jobs.release([stale])
    assert before == row(tables)
    for job in fresh:
        tables.jobs.finish(job, JobState.COMPLETED, now=clock())
        assert row(tables)["state"] == "completed"


def test_every_claim_raises_the_fence(tables: Tables) -> None:
    """Also after a release, a retry and a new target: no two claims show the same fence."""
    want(tables, fetch(1))
    fences = []
    for _ in range(2):
        (job,) = claim(tables)
        fences.append(job.fence)
        tables.jobs.release([job])
        (job,) = claim(tables)
        fences.append(job.fence)
        tables.jobs.finish(job, JobState.COMPLETED, now=NOON)
        want(tables, fetch(1, target="bb"))
    assert fences == [1, 2, 3, 4]


def test_a_heartbeat_keeps_the_lease(tables: Tables) -> None:
    """Who still works is not taken for dead."""
    clock = FrozenClock()
    want(tables, fetch(1), fetch(2))
    kept, silent = claim(tables)
    clock.advance(seconds=20)
    tables.jobs.heartbeat([kept], lease_seconds=LEASE_SECONDS, now=clock())
    clock.advance(seconds=20)
    assert tables.jobs.recover(now=clock()) == 1
    assert row(tables, kept.subject)["state"] == "running"
    assert row(tables, silent.subject)["state"] == "available"


def test_a_dead_workers_job_is_available_again(tables: Tables) -> None:
    """A lease that runs out gives the job back at once, its attempt counted, and says why."""
    clock = FrozenClock()
    want(tables, fetch(1))
    claim(tables)
    clock.advance(seconds=LEASE_SECONDS)
    assert tables.jobs.recover(now=clock()) == 0  # the last moment still counts
    assert tables.jobs.recover(now=clock.advance(milliseconds=1)) == 1
    (again,) = claim(tables, now=clock())
    assert (again.attempts, again.first_attempt_at) == (2, NOON)
    assert row(tables)["reason"] == "its worker died"


def test_a_job_that_kills_its_workers_is_held(tables: Tables) -> None:
    """At first it is tried again at once, then later and later, and at last waits for a person
    instead of killing the next worker."""
    clock = FrozenClock()
    want(tables, fetch(1))
    states, pauses = [], []
    for _ in range(MAX_CRASHES):
        tables.jobs.promote(now=clock.advance(minutes=2))
        assert claim(tables, now=clock())
        tables.jobs.recover(now=clock.advance(seconds=LEASE_SECONDS + 1))
        states.append(row(tables)["state"])
        run_at = from_millis(row(tables)["run_at"])
        pauses.append(run_at and (run_at - clock()).total_seconds())
    assert states == ["available"] * 2 + ["scheduled"] * 5 + ["held"]
    assert pauses == [None, None, 5, 10, 20, 40, 80, None]
    assert row(tables)["reason"] == "its worker died 8 times"
    assert tables.jobs.held_for_operator() == [1]


def test_only_deaths_in_a_row_count(tables: Tables) -> None:
    """A worker that has lived to settle it shows that it kills nobody, be it tried again or not."""
    clock = FrozenClock()
    want(tables, fetch(1))
    for _ in range(2):
        claim(tables, now=clock())
        tables.jobs.recover(now=clock.advance(seconds=LEASE_SECONDS + 1))
    assert row(tables)["crashes"] == 2
    (job,) = claim(tables, now=clock())
    tables.jobs.finish(job, JobState.SCHEDULED, run_at=clock(), now=clock())
    assert row(tables)["crashes"] == 0


def test_whoever_knows_all_workers_dead_waits_for_no_lease(tables: Tables) -> None:
    """And the pause of what has died often is counted from now."""
    want(tables, fetch(1))
    claim(tables)
    tables.connection.execute("UPDATE jobs SET crashes=2")
    assert tables.jobs.recover(now=NOON, lapsed_at=datetime.max.replace(tzinfo=UTC)) == 1
    assert from_millis(row(tables)["run_at"]) == NOON + timedelta(seconds=5)


def test_a_released_job_was_never_tried(tables: Tables) -> None:
    """A worker told to stop gives back what it had claimed, its attempt too."""
    want(tables, fetch(1), fetch(2))
    jobs = claim(tables)
    tables.jobs.release(jobs[:1])
    assert (row(tables, 1)["state"], row(tables, 1)["attempts"]) == ("available", 0)
    assert row(tables, 2)["state"] == "running"
    (again,) = claim(tables)
    assert (again.subject, again.attempts) == (1, 1)


# Wanting ------------------------------------------------------------------------------------------

UNTOUCHED = {
    *((JobState.RUNNING, *more) for more in product(("same", "other"), JobState)),
    *((JobState.AVAILABLE, "same", wanted) for wanted in JobState),
    *((JobState.SCHEDULED, "same", wanted) for wanted in JobState),
    (JobState.HELD, "same", JobState.HELD),
}


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("target", ["same", "other"])
@pytest.mark.parametrize("wanted", [JobState.AVAILABLE, JobState.HELD])
def test_wanting(tables: Tables, state: JobState, target: str, wanted: JobState) -> None:
    """Wanting the same again changes nothing that waits or runs; something else re-arms a row."""
    want(tables, fetch(1, target="same"))
    force(tables, state)
    before = row(tables)
    later = NOON + timedelta(hours=1)
    job = fetch(1, 2.0, target=target, host="other.example", state=wanted, reason="why")
    tables.jobs.want([job], now=later)
    if (state, target, wanted) in UNTOUCHED:
        assert before == row(tables)
        return
    rearmed: dict[str, Any] = {
        "id": before["id"],
        "target": target,
        "state": wanted.value,
        "reason": "why",
        "host": "other.example",
        "deadline_at": to_millis(NOON + timedelta(hours=2)),
        "run_at": None,
        "attempts": 0,
        "crashes": 0,
        "first_attempt_at": None,
        "fence": before["fence"],
        "wanted_at": to_millis(later),
        "finished_at": None,
    }
    after = row(tables)
    assert rearmed == {name: after[name] for name in rearmed}


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("target", ["same", "other"])
def test_what_was_derived_is_not_derived_again(
    tables: Tables, state: JobState, target: str
) -> None:
    """However it ended; but of other bytes it is, and where nobody wanted it meanwhile."""
    want(tables, WantedJob(kind=DERIVE, subject=1, target="same"))
    force(tables, state)
    before = row(tables, kind=DERIVE)
    want(tables, WantedJob(kind=DERIVE, subject=1, target=target))
    after = row(tables, kind=DERIVE)
    if state is JobState.RUNNING or (target == "same" and state is not JobState.CANCELLED):
        assert before == after
    else:
        assert (after["state"], after["target"], after["attempts"]) == ("available", target, 0)


@pytest.mark.parametrize(("hours", "expected"), [(1.0, [2, 1]), (4.0, [1, 2])])
def test_an_earlier_deadline_moves_a_waiting_job_up(
    tables: Tables, hours: float, expected: list[int]
) -> None:
    """A link may turn out to die sooner than was assumed; a later word changes nothing."""
    want(tables, fetch(1, 2.0), fetch(2, 3.0))
    want(tables, fetch(2, hours))
    assert expected == subjects(claim(tables))


def test_a_subject_has_one_job_of_each_kind(tables: Tables) -> None:
    """However often work is wanted, there is one row to do it."""
    jobs = [fetch(1), fetch(1), fetch(2), WantedJob(kind=SEAL, subject=1, target="1")]
    want(tables, *jobs)
    want(tables, *jobs)
    assert tables.jobs.count() == {("fetch", "available"): 2, ("seal", "available"): 1}


@pytest.mark.parametrize("state", JobState)
def test_cancelling(tables: Tables, state: JobState) -> None:
    """What nobody has begun is taken back; what runs or rests stays as it is."""
    want(tables, fetch(1), fetch(2), WantedJob(kind=SEAL, subject=1, target="1"))
    force(tables, state)
    tables.connection.execute("UPDATE jobs SET attempts = 0")
    others = row(tables, 2), row(tables, 1, SEAL)
    before = row(tables)
    tables.jobs.cancel(FETCH, 1, now=NOON)
    if state in (JobState.AVAILABLE, JobState.SCHEDULED, JobState.HELD):
        after = row(tables)
        assert (after["state"], after["reason"]) == ("cancelled", "no longer wanted")
        assert after["run_at"] is None
    else:
        assert before == row(tables)
    assert others == (row(tables, 2), row(tables, 1, SEAL))


def test_what_was_tried_and_is_held_is_not_cancelled(tables: Tables) -> None:
    """It waits for a person, who must find it with its reason."""
    want(tables, fetch(1))
    (job,) = claim(tables)
    tables.jobs.finish(job, JobState.HELD, reason="the host is not allowed", now=NOON)
    tables.jobs.cancel(FETCH, 1, now=NOON)
    assert (row(tables)["state"], row(tables)["reason"]) == ("held", "the host is not allowed")
    assert tables.jobs.held_for_operator() == [1]


# Asking -------------------------------------------------------------------------------------------


def test_a_job_as_the_operator_sees_it(tables: Tables) -> None:
    """`show` tells state, reason, attempts and both times; a job never wanted is None."""
    want(tables, fetch(1))
    (job,) = claim(tables)
    at = NOON + timedelta(seconds=10)
    tables.jobs.finish(job, JobState.SCHEDULED, reason="busy", run_at=at, now=NOON)
    seen = tables.jobs.of(FETCH, 1)
    assert seen is not None
    assert (seen.kind, seen.state, seen.reason, seen.attempts) == (FETCH, "scheduled", "busy", 1)
    assert (seen.run_at, seen.deadline_at) == (at, NOON + timedelta(hours=1))
    assert tables.jobs.of(SEAL, 1) is None


def test_the_first_loss_is_the_earliest_deadline_that_still_counts(tables: Tables) -> None:
    """What waits or runs can be lost, and what is held while its link lives."""
    assert tables.jobs.first_loss_at(now=NOON) is None
    want(tables, *(fetch(n, float(n)) for n in range(1, 8)))
    losses = []
    for subject, state in enumerate(("completed", "held", "running", "scheduled"), start=1):
        force(tables, JobState(state), subject)
        losses.append(tables.jobs.first_loss_at(now=NOON))
    assert [NOON + timedelta(hours=hours) for hours in (2, 2, 2, 2)] == losses
    later = NOON + timedelta(hours=2)
    assert tables.jobs.first_loss_at(now=later) == NOON + timedelta(hours=3)
