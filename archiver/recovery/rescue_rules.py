"""Under which rule a slot falls whose picture is not in the bucket: none goes unmentioned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from archiver.catalog.unsafe import Standing, Unsafe
from archiver.models import SlotState
from archiver.work import CANCELLED_BY_OPERATOR, HELD_BY_OPERATOR, JobState

_WAITING = (JobState.AVAILABLE, JobState.RUNNING)


class Kind(StrEnum):
    """What a step is about, the most urgent first."""

    FETCH = "fetch"  # a link lives
    ASK = "ask"  # a provider has yet to tell the end, or another link
    ABSORB = "absorb"  # heard, and not absorbed
    REPLAY = "replay"  # heard, and not understood
    REVERIFY = "reverify"  # refused, and authentic
    LEASE = "lease"  # a worker that died has it
    RETRY = "retry"  # held or given up, though somebody may have mended what was amiss
    BLOB = "blob"  # the bucket has not what the catalog says, or the other way round
    DRAW = "draw"  # nothing is lost while it waits for a renderer
    HELD = "held"  # until a person says otherwise
    UNWANTED = "unwanted"  # a person, or the client, has said so
    GONE = "gone"  # for ever


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """A slot, and whether renderers have been seen lately."""

    slot: Unsafe
    is_drawing: bool

    def lives(self) -> bool:
        """Whether a link may still give something, or nobody has found out that it does not."""
        return self.slot.live_at is not None or self.slot.state is SlotState.LINKED

    def begins(self, *words: str) -> bool:
        """Whether the slot's reason begins with one of these."""
        return self.slot.reason.startswith(words)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """When it is so with a slot, it is to be mentioned as `kind`, because.

    `order` names the job that is to be tried now; without one nothing is to be ordered.
    """

    when: Callable[[Facts], bool]
    kind: Kind
    because: str = ""  # empty: as the slot's own reason says
    order: str = ""


def _stands(job: Standing | None, *states: JobState) -> bool:
    return job is not None and job.state in states


def _is_held(job: Standing | None) -> bool:
    return _stands(job, JobState.HELD) and job is not None and job.reason == HELD_BY_OPERATOR


def _is_cancelled(job: Standing | None) -> bool:
    return job is not None and job.reason == CANCELLED_BY_OPERATOR


RULES: tuple[Rule, ...] = (
    Rule(
        when=lambda it: it.lives() and _is_held(it.slot.fetch),
        kind=Kind.HELD,
        because="its fetch is held by the operator, and its link goes on dying",
    ),
    Rule(
        when=lambda it: it.lives() and _stands(it.slot.fetch, *_WAITING),
        kind=Kind.FETCH,
        because="it is fetched as soon as it is its turn",
    ),
    Rule(
        when=lambda it: it.lives() and _stands(it.slot.fetch, JobState.SCHEDULED),
        kind=Kind.FETCH,
        because="a try failed and the next would have to wait: now instead",
        order="fetch",
    ),
    Rule(
        when=lambda it: _stands(it.slot.render, JobState.RUNNING),
        kind=Kind.DRAW,
        because="it is being drawn",
    ),
    Rule(
        when=lambda it: it.lives(),
        kind=Kind.FETCH,
        because="it was held or given up, and its link lives: once more",
        order="fetch",
    ),
    Rule(
        when=lambda it: it.slot.state is SlotState.EXPECTED and _is_held(it.slot.poll),
        kind=Kind.HELD,
        because="asking its provider is held by the operator",
    ),
    Rule(
        when=lambda it: it.slot.state is SlotState.EXPECTED and _is_cancelled(it.slot.poll),
        kind=Kind.UNWANTED,
        because="nobody asks its provider any more, by the operator's order",
    ),
    Rule(
        when=lambda it: it.slot.state is SlotState.EXPECTED and _stands(it.slot.poll, *_WAITING),
        kind=Kind.ASK,
        because="its provider is asked as soon as it is its turn",
    ),
    Rule(
        when=lambda it: it.slot.state is SlotState.EXPECTED,
        kind=Kind.ASK,
        because="its provider is silent: it is asked now",
        order="poll",
    ),
    Rule(
        when=lambda it: it.begins("needs the operator") and _is_held(it.slot.fetch),
        kind=Kind.HELD,
        because="its fetch is held by the operator",
    ),
    Rule(
        when=lambda it: it.begins("needs the operator") and _stands(it.slot.fetch, JobState.HELD),
        kind=Kind.RETRY,
        order="fetch",
    ),
    Rule(
        when=lambda it: CANCELLED_BY_OPERATOR in it.slot.reason,
        kind=Kind.UNWANTED,
    ),
    Rule(
        when=lambda it: it.begins("no renderer", "not drawn") and _is_held(it.slot.render),
        kind=Kind.HELD,
        because="its drawing is held by the operator",
    ),
    Rule(
        when=lambda it: (
            it.begins("no renderer") and _stands(it.slot.render, *_WAITING, JobState.SCHEDULED)
        ),
        kind=Kind.DRAW,
        because="it waits for a renderer",
    ),
    Rule(
        when=lambda it: it.begins("no renderer"),
        kind=Kind.RETRY,
        because="its drawing was held, and it waits for a renderer",
        order="render",
    ),
    Rule(
        when=lambda it: (
            it.begins("not drawn") and it.is_drawing and _stands(it.slot.render, JobState.HELD)
        ),
        kind=Kind.RETRY,
        order="render",
    ),
    Rule(
        when=lambda it: it.slot.state is SlotState.HELD,
        kind=Kind.HELD,
    ),
    Rule(
        when=lambda it: it.slot.reason.endswith("canceled at the provider"),
        kind=Kind.UNWANTED,
    ),
    Rule(
        when=lambda it: it.slot.state is SlotState.DEAD,
        kind=Kind.GONE,
    ),
)


def rule_for(slot: Unsafe, *, is_drawing: bool) -> Rule | None:
    """The rule that a slot falls under; None: it has what it needs."""
    facts = Facts(slot=slot, is_drawing=is_drawing)
    return next((rule for rule in RULES if rule.when(facts)), None)
