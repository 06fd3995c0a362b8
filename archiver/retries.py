"""What a failed attempt does next: try again later, or come to a final end.

Two laws: a wait never passes the link's deadline, and a fault that a provider may still mend is
given time (`patience_seconds`) rather than a number of tries, because a night's outage and a
burst of tries look the same to a counter.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from archiver.models import FailureClass, Fault
from archiver.work import Job

BACKOFF_BASE_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 300.0
# Room for the last attempt itself before the link dies.
DEADLINE_MARGIN_SECONDS = 10.0
# A source's own Retry-After is believed up to here; beyond, it is a mistake or an attack.
RETRY_AFTER_CAP_SECONDS = 3600.0

# Between one telling and the next; what nobody took in a day is given up (standardwebhooks.com).
_TELLING_WAITS_SECONDS = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0)
_TELLING_PATIENCE = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultRule:
    """How long a fault is taken for passing, and what it is when it was not.

    `patient`: "never" final at once, "grace" for `patience_seconds` from the first such fault in a
    row, "deadline" until the link dies, "always" for ever.
    """

    patient: Literal["never", "grace", "deadline", "always"]
    final: FailureClass


FAULT_LAW: dict[Fault, FaultRule] = {
    Fault.REFUSED: FaultRule(patient="deadline", final=FailureClass.RENDERABLE),
    Fault.MISSING: FaultRule(patient="grace", final=FailureClass.RENDERABLE),
    Fault.GONE: FaultRule(patient="never", final=FailureClass.RENDERABLE),
    Fault.THROTTLED: FaultRule(patient="deadline", final=FailureClass.RENDERABLE),
    Fault.SERVER: FaultRule(patient="deadline", final=FailureClass.RENDERABLE),
    Fault.NETWORK: FaultRule(patient="deadline", final=FailureClass.RENDERABLE),
    Fault.SHORT: FaultRule(patient="grace", final=FailureClass.RENDERABLE),
    # When its grace is over, nobody insists on the digest any more (`capture`).
    Fault.DAMAGED: FaultRule(patient="grace", final=FailureClass.RENDERABLE),
    Fault.NOT_MEDIA: FaultRule(patient="grace", final=FailureClass.RENDERABLE),
    Fault.TOO_LARGE: FaultRule(patient="never", final=FailureClass.DEAD),
    Fault.FORBIDDEN: FaultRule(patient="never", final=FailureClass.OPERATOR),
    Fault.OURS: FaultRule(patient="always", final=FailureClass.OPERATOR),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Try again, not before `run_at`."""

    run_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Final:
    """Give this link up, for a reason of this class."""

    failure_class: FailureClass


def after_fault(
    job: Job,
    fault: Fault,
    *,
    now: datetime,
    jitter: float,
    patience_seconds: float,
    retry_after_seconds: float | None = None,
) -> Retry | Final:
    """Decides by `FAULT_LAW`; `jitter` in [0, 1) is the caller's random number (full jitter)."""
    rule = FAULT_LAW[fault]
    if not _patient(rule, job, now, patience_seconds):
        return Final(failure_class=rule.final)
    wait_seconds = backoff_seconds(job.attempts, jitter)
    if retry_after_seconds is not None:
        wait_seconds = max(wait_seconds, min(retry_after_seconds, RETRY_AFTER_CAP_SECONDS))
    run_at = now + timedelta(seconds=wait_seconds)
    if rule.patient != "always" and job.deadline_at is not None:
        last_call = job.deadline_at - timedelta(seconds=DEADLINE_MARGIN_SECONDS)
        run_at = min(run_at, last_call if last_call > now else job.deadline_at)
    return Retry(run_at=run_at)


def backoff_seconds(attempts: int, jitter: float) -> float:
    """Exponential back-off with full jitter, after `attempts` (>= 1) tries."""
    ceiling = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2.0 ** min(attempts - 1, 16))
    return ceiling * jitter


def next_telling(
    job: Job, *, now: datetime, jitter: float, retry_after_seconds: float | None = None
) -> datetime | None:
    """When a message that was not taken is sent again; None once a day of tries has passed.

    `jitter` in [0, 1) keeps what failed together from coming together again.
    """
    if now - job.first_attempt_at >= _TELLING_PATIENCE:
        return None
    wait_seconds = _TELLING_WAITS_SECONDS[min(job.attempts, len(_TELLING_WAITS_SECONDS)) - 1]
    wait_seconds *= 1 + jitter / 5
    return now + timedelta(seconds=max(wait_seconds, retry_after_seconds or 0.0))


def _patient(rule: FaultRule, job: Job, now: datetime, patience_seconds: float) -> bool:
    if rule.patient == "always":
        return True
    if rule.patient == "never" or (job.deadline_at is not None and now >= job.deadline_at):
        return False
    grace_ends_at = job.first_attempt_at + timedelta(seconds=patience_seconds)
    return rule.patient == "deadline" or now < grace_ends_at
