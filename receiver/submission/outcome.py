"""What a provider's answer means for the row that was sent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from archiver.models import FailureClass, Observation
from receiver.providers.submitters import Submitter


class Verdict(StrEnum):
    """What becomes of the row."""

    SUBMITTED = "submitted"
    IN_DOUBT = "in doubt"  # it may have been begun, or not
    LATER = "later"  # not begun, but after a while it may be
    UNREACHED = "unreached"  # not even sent
    PAUSE = "pause"  # not begun, nor will any other be until the operator mends something
    HELD = "held"  # not begun, and not to be tried again: moderation
    DEAD = "dead"  # not begun, and never will be as it is asked for


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The verdict, and its reason, or the generation that was begun at that cost."""

    verdict: Verdict
    why: str = ""
    generation_id: str = ""
    cost: float | None = None
    wait_seconds: float | None = None


_OF_REFUSALS = {
    FailureClass.OPERATOR: Verdict.PAUSE,
    FailureClass.POLICY: Verdict.HELD,
    FailureClass.DEAD: Verdict.DEAD,
    FailureClass.TRANSIENT: Verdict.LATER,
}
# Of a reason that nobody knows, these say that it lies in the request (RFC 9110 §15.5, 422).
_UNFIT = (400, 409, 413, 422)


def judge(
    submitter: Submitter,
    status: int,
    answer: bytes,
    observation: Observation | None,
    *,
    wait_seconds: float | None = None,
) -> Outcome:
    """The outcome of one exchange; `observation` is what it says of a generation, if of any."""
    if observation is not None:
        return Outcome(
            verdict=Verdict.SUBMITTED,
            generation_id=observation.generation_id,
            cost=observation.cost,
        )
    failure = submitter.refusal(status, answer)
    words = ": ".join(filter(None, (failure.code, failure.message)))
    return Outcome(
        verdict=_verdict(status, failure.failure_class),
        why=f"{status} {words}",
        wait_seconds=wait_seconds,
    )


def _verdict(status: int, failure_class: FailureClass) -> Verdict:
    known = _OF_REFUSALS.get(failure_class)
    if known in (Verdict.PAUSE, Verdict.HELD, Verdict.DEAD):
        return known
    if status == 429:
        return Verdict.LATER
    if status == 408 or status >= 500:
        return Verdict.IN_DOUBT
    if known is not None:
        return known
    if status < 400:
        return Verdict.IN_DOUBT  # whoever cannot say what was done may have done it
    return Verdict.DEAD if status in _UNFIT else Verdict.PAUSE
