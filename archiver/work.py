"""Our own units of work: what is wanted, and what is claimed; values, like the nouns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class JobKind(StrEnum):
    """The units of our own work."""

    FETCH = "fetch"
    POLL = "poll"
    SEAL = "seal"
    DERIVE = "derive"
    RENDER = "render"
    NOTIFY = "notify"


class JobState(StrEnum):
    """Where a job stands, in the words of Oban and River."""

    SCHEDULED = "scheduled"
    AVAILABLE = "available"
    RUNNING = "running"
    COMPLETED = "completed"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"
    HELD = "held"


# What a person has ordered, as the reason of its row; only an order or new facts end it (`orders`).
HELD_BY_OPERATOR = "held by the operator"
CANCELLED_BY_OPERATOR = "cancelled by the operator"

# Whose subject is a slot's archive number; of `notify` it is a notice's number, and of the others
# a generation's key.
SLOT_KINDS = frozenset({JobKind.FETCH, JobKind.DERIVE, JobKind.RENDER})


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One claimed unit of work: who holds it is proved by `fence`, not by who says so."""

    id: int
    kind: JobKind
    subject: int
    target: str
    host: str
    deadline_at: datetime | None
    attempts: int
    first_attempt_at: datetime
    fence: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedJob:
    """Work that `planning.plan` wants done.

    One job row exists per (kind, subject); `target` names the very thing to do, so wanting the
    same again changes nothing and wanting something else re-arms the row. `run_at` is the earliest
    moment for it, None for at once.
    """

    kind: JobKind
    subject: int
    target: str
    state: JobState = JobState.AVAILABLE
    reason: str = ""
    host: str = ""
    deadline_at: datetime | None = None
    run_at: datetime | None = None
