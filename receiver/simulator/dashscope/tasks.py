"""What DashScope remembers of one task, and why one may fail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from receiver.simulator.cdn import Kept
from receiver.simulator.dashscope.submissions import Submission
from receiver.simulator.reports import WebhookAttempt


class Failure(NamedTuple):
    """Why a slot or a whole task has no picture."""

    code: str
    message: str


class Drawn(NamedTuple):
    """A slot's picture and the link that is given for it."""

    kept: Kept
    url: str


_TIMED_OUT = Failure(
    "InternalError.Timeout",
    "An internal timeout error has occured during execution, please try again later or contact "
    "service support.",
)
_MODERATED = Failure("DataInspectionFailed", "Output data may contain inappropriate content.")
_WRONG_SIZE = Failure("InvalidParameter", "The size is not match the allowed size of this model")


@dataclass(kw_only=True, slots=True, eq=False)
class Task:
    """One task; `seed` is its first slot's, and `slots` grows while it runs."""

    task_id: str
    request_id: str
    account: str
    submission: Submission
    seed: int
    faults: frozenset[str]
    submitted_at: datetime
    scheduled_at: datetime | None = None
    ended_at: datetime | None = None
    status: str = "PENDING"
    slots: list[Drawn | Failure] = field(default_factory=list)
    failure: Failure | None = None
    queries: int = 0
    webhook_attempts: list[WebhookAttempt] = field(default_factory=list)
    canceled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def drawn(self) -> list[Drawn]:
        """The slots that have pictures."""
        return [slot for slot in self.slots if isinstance(slot, Drawn)]

    @property
    def failed_slots(self) -> int:
        """How many slots have none and never will."""
        if self.status == "FAILED":
            return self.submission.n
        return len(self.slots) - len(self.drawn)

    def end(self, at: datetime, failure: Failure | None = None) -> None:
        """Settle it: one picture is enough for success, and without any the first reason counts."""
        if failure is None and not self.drawn:
            failure = next(slot for slot in self.slots if isinstance(slot, Failure))
        self.failure = failure
        self.status = "FAILED" if failure else "SUCCEEDED"
        self.ended_at = at


def task_failure(submission: Submission, faults: frozenset[str]) -> Failure | None:
    """Why nothing of this is drawn at all, or None."""
    if not submission.fits_the_model:
        return _WRONG_SIZE
    if "moderated" in faults:
        return _MODERATED
    return _TIMED_OUT if "failed" in faults else None


def slot_failure(index: int, n: int, faults: frozenset[str]) -> Failure | None:
    """Why slot `index` of `n` is not drawn, or None."""
    if "partly_moderated" in faults and index == 0:
        return _MODERATED
    return _TIMED_OUT if "partial" in faults and index == n // 2 else None
