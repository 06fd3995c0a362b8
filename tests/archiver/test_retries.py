"""What a failed attempt does next, by fault, deadline and patience."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.models import FailureClass, Fault
from archiver.retries import FAULT_LAW, Final, Retry, after_fault, backoff_seconds
from archiver.work import Job, JobKind
from tests.clocks import NOON

PATIENCE_SECONDS = 900.0
HOUR = timedelta(hours=1)
FETCH = Job(
    id=1,
    kind=JobKind.FETCH,
    subject=100,
    target="ab",
    host="cdn.doitong.com",
    deadline_at=NOON + HOUR,
    attempts=1,
    first_attempt_at=NOON,
    fence=1,
)

NEVER, GRACE, UNTIL_DEADLINE, ALWAYS = "never", "grace", "deadline", "always"
# The law once more: how long a fault is taken for passing, and what it is when it was not.
EXPECTED_LAW = {
    Fault.REFUSED: (UNTIL_DEADLINE, FailureClass.RENDERABLE),
    Fault.MISSING: (GRACE, FailureClass.RENDERABLE),
    Fault.GONE: (NEVER, FailureClass.RENDERABLE),
    Fault.THROTTLED: (UNTIL_DEADLINE, FailureClass.RENDERABLE),
    Fault.SERVER: (UNTIL_DEADLINE, FailureClass.RENDERABLE),
    Fault.NETWORK: (UNTIL_DEADLINE, FailureClass.RENDERABLE),
    Fault.SHORT: (GRACE, FailureClass.RENDERABLE),
    Fault.DAMAGED: (GRACE, FailureClass.RENDERABLE),
    Fault.NOT_MEDIA: (GRACE, FailureClass.RENDERABLE),
    Fault.TOO_LARGE: (NEVER, FailureClass.DEAD),
    Fault.FORBIDDEN: (NEVER, FailureClass.OPERATOR),
    Fault.OURS: (ALWAYS, FailureClass.OPERATOR),
}
FINITE = [fault for fault in Fault if EXPECTED_LAW[fault][0] != ALWAYS]
PATIENT = [fault for fault in Fault if EXPECTED_LAW[fault][0] != NEVER]

SECONDS = st.floats(0, 10**6)
JITTERS = st.floats(0, 1, exclude_max=True)


def decide(
    fault: Fault,
    job: Job = FETCH,
    *,
    after_seconds: float = 0.0,
    jitter: float = 0.5,
    retry_after_seconds: float | None = None,
) -> Retry | Final:
    """What follows when `job`'s attempt fails so many seconds after its first one began."""
    return after_fault(
        job,
        fault,
        now=NOON + timedelta(seconds=after_seconds),
        jitter=jitter,
        patience_seconds=PATIENCE_SECONDS,
        retry_after_seconds=retry_after_seconds,
    )


class TestLaw:
    """How long each fault is borne."""

    def test_every_fault_has_its_row(self) -> None:
        """A fault without one would be an exception at the worst moment."""
        law = {fault: (rule.patient, rule.final) for fault, rule in FAULT_LAW.items()}

        assert law == EXPECTED_LAW
        assert set(law) == set(Fault)

    @pytest.mark.parametrize("fault", Fault)
    def test_patience_ends_when_the_law_says(self, fault: Fault) -> None:
        """Before, at and after each of its limits: the first second, the grace, the deadline."""
        patient, final = EXPECTED_LAW[fault]
        lasts_seconds = {
            NEVER: 0.0,
            GRACE: PATIENCE_SECONDS,
            UNTIL_DEADLINE: HOUR.total_seconds(),
            ALWAYS: float("inf"),
        }[patient]
        for seconds in (0.0, 899.999, 900.0, 3599.999, 3600.0, 10**6):
            decision = decide(fault, after_seconds=seconds)
            if seconds < lasts_seconds:
                assert isinstance(decision, Retry), seconds
            else:
                assert decision == Final(failure_class=final), seconds

    @given(st.sampled_from(FINITE), SECONDS, JITTERS, st.none() | SECONDS)
    def test_at_its_deadline_a_link_is_given_up(
        self, fault: Fault, late_seconds: float, jitter: float, retry_after_seconds: float | None
    ) -> None:
        """Whatever the fault, unless it was ours: then it never was the link's."""
        decision = decide(
            fault,
            after_seconds=HOUR.total_seconds() + late_seconds,
            jitter=jitter,
            retry_after_seconds=retry_after_seconds,
        )

        assert decision == Final(failure_class=EXPECTED_LAW[fault][1])

    def test_grace_ends_with_the_link(self) -> None:
        """A link that dies before the grace is over is not tried beyond its death."""
        brief = replace(FETCH, deadline_at=NOON + timedelta(seconds=60))

        assert isinstance(decide(Fault.MISSING, brief, after_seconds=59), Retry)
        assert isinstance(decide(Fault.MISSING, brief, after_seconds=60), Final)

    def test_grace_counts_from_the_first_attempt(self) -> None:
        """Not from this one, else it would never end."""
        again = replace(FETCH, first_attempt_at=NOON - timedelta(seconds=PATIENCE_SECONDS))

        assert isinstance(decide(Fault.MISSING, again), Final)

    def test_work_without_a_deadline_is_borne_for_ever(self) -> None:
        """Where nothing dies there is no hurry, and no end but grace."""
        timeless = replace(FETCH, deadline_at=None)

        assert isinstance(decide(Fault.SERVER, timeless, after_seconds=10**6), Retry)
        assert isinstance(decide(Fault.MISSING, timeless, after_seconds=10**6), Final)


class TestWait:
    """When the next attempt is."""

    @given(
        st.sampled_from(PATIENT),
        st.integers(1, 10**6),
        SECONDS,
        JITTERS,
        st.none() | st.floats(),
    )
    def test_no_wait_passes_the_deadline(
        self,
        fault: Fault,
        attempts: int,
        after_seconds: float,
        jitter: float,
        retry_after_seconds: float | None,
    ) -> None:
        """The last attempt begins while the link lives, and no attempt begins in the past."""
        decision = decide(
            fault,
            replace(FETCH, attempts=attempts),
            after_seconds=after_seconds,
            jitter=jitter,
            retry_after_seconds=retry_after_seconds,
        )

        if isinstance(decision, Retry):
            assert decision.run_at >= NOON + timedelta(seconds=after_seconds)
            if fault is not Fault.OURS:
                assert decision.run_at <= NOON + HOUR

    @pytest.mark.parametrize(
        ("after_seconds", "expected_seconds"),
        [(3000, 3590), (3589, 3590), (3590, 3600), (3599, 3600)],
    )
    def test_the_last_attempt_has_room(self, after_seconds: float, expected_seconds: float) -> None:
        """It begins ten seconds before the link dies, or, when those are gone, at its death."""
        decision = decide(Fault.THROTTLED, after_seconds=after_seconds, retry_after_seconds=3600)

        assert decision == Retry(run_at=NOON + timedelta(seconds=expected_seconds))

    @pytest.mark.parametrize(
        ("asked_seconds", "expected_seconds"),
        [
            (None, 0.5),
            (-5, 0.5),
            (0, 0.5),
            (0.4, 0.5),
            (120, 120),
            (3600, 3600),
            (3601, 3600),
            (10**12, 3600),
            (float("inf"), 3600),
            (float("nan"), 0.5),
        ],
    )
    def test_a_source_may_ask_for_time(
        self, asked_seconds: float | None, expected_seconds: float
    ) -> None:
        """Never less than we would wait ourselves, and only what a sane source would ask for."""
        timeless = replace(FETCH, deadline_at=None)
        decision = decide(Fault.THROTTLED, timeless, retry_after_seconds=asked_seconds)

        assert decision == Retry(run_at=NOON + timedelta(seconds=expected_seconds))

    def test_our_own_fault_waits_past_the_deadline(self) -> None:
        """A full bucket is tried again however late, for the link may outlive what it said."""
        decision = decide(Fault.OURS, after_seconds=7200)

        assert decision == Retry(run_at=NOON + timedelta(seconds=7200.5))

    @pytest.mark.parametrize(
        ("attempts", "ceiling_seconds"),
        [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (10**9, 300)],
    )
    def test_backing_off_doubles_up_to_a_cap(self, attempts: int, ceiling_seconds: float) -> None:
        """After each attempt twice as long, and never so long that a mended source waits for us."""
        assert backoff_seconds(attempts, 0.0) == 0.0
        assert backoff_seconds(attempts, 0.5) == ceiling_seconds / 2

    @given(st.integers(1, 10**9), JITTERS)
    def test_jitter_is_full(self, attempts: int, jitter: float) -> None:
        """Anywhere from at once up to, but not at, the ceiling: no two workers march in step."""
        assert 0 <= backoff_seconds(attempts, jitter) < 300
