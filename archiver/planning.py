"""The work that follows from what is known: a table of wishes, made anew after each change."""

from __future__ import annotations

from datetime import timedelta

from archiver.drawing import drawn_from
from archiver.lifecycle import SETTLED, has_ended, leading_link, loss, refusal
from archiver.models import FailureClass, Generation, Slot, SlotState
from archiver.moments import to_millis
from archiver.work import JobKind, JobState, WantedJob

# What is pushed or overheard mostly comes by itself sooner than this.
FIRST_POLL = timedelta(seconds=5)
# Whoever was heard of first is asked about first; a day is what providers promise of links.
_LIFETIME = timedelta(hours=24)


def plan(generation: Generation) -> tuple[WantedJob, ...]:
    """All the work a generation still wants; it must have been given its numbers.

    Wanting is idempotent: the same facts want the same jobs with the same targets.
    """
    assert generation.key is not None
    jobs = [job for slot in generation.slots for job in _plan_slot(generation, slot)]
    jobs += [job for slot in generation.slots for job in _plan_preview(slot)]
    jobs += _plan_poll(generation)
    settled = any(slot.state in SETTLED for slot in generation.slots)
    if settled and generation.sealed_revision < generation.revision:
        target = str(generation.revision)
        jobs.append(WantedJob(kind=JobKind.SEAL, subject=generation.key, target=target))
    return tuple(jobs)


def _plan_slot(generation: Generation, slot: Slot) -> tuple[WantedJob, ...]:
    assert slot.number is not None
    best = leading_link(slot)
    if best is not None and slot.state is not SlotState.ARCHIVED:
        fetch = WantedJob(
            kind=JobKind.FETCH,
            subject=slot.number,
            target=best.url_sha256.hex(),
            host=best.host,
            deadline_at=best.expires_at,
        )
        return (fetch,)
    failure = loss(generation, slot)
    drawable = failure is not None and failure.failure_class is FailureClass.RENDERABLE
    if slot.state is SlotState.HELD and drawable and not slot.assets:
        return (_plan_render(generation, slot),)
    return ()


def _plan_preview(slot: Slot) -> tuple[WantedJob, ...]:
    """Whatever picture leads among a slot's is shown small and compared, whoever drew it."""
    asset = slot.leading_asset
    if slot.role or asset is None or not asset.media_type.startswith("image/"):
        return ()
    assert slot.number is not None
    return (WantedJob(kind=JobKind.DERIVE, subject=slot.number, target=asset.sha256.hex()),)


def _plan_render(generation: Generation, slot: Slot) -> WantedJob:
    """A drawing has no deadline; what a renderer has refused waits until there is more to go by."""
    assert slot.number is not None
    refused, state = refusal(generation, slot), JobState.AVAILABLE
    if refused is not None:
        state = JobState.DISCARDED if refused.final else JobState.HELD
    return WantedJob(
        kind=JobKind.RENDER,
        subject=slot.number,
        target=drawn_from(generation),
        state=state,
        reason=refused.reason if refused else "",
    )


def _plan_poll(generation: Generation) -> tuple[WantedJob, ...]:
    """One question, wherever nobody may tell us unasked what a slot still lacks."""
    waiting = sum(map(_may_be_linked, generation.slots))
    if has_ended(generation) and not waiting:
        return ()
    assert generation.key is not None
    target, run_at = "end", generation.first_heard_at + FIRST_POLL
    if has_ended(generation):
        links = sum(len(slot.links) for slot in generation.slots)
        # Another slot that loses its link is another question, due at once.
        target, run_at = f"link beyond {links} for {waiting}", generation.first_heard_at
    elif generation.hinted_at is not None:
        target = f"end hinted at {to_millis(generation.hinted_at)}"
        run_at = generation.first_heard_at
    poll = WantedJob(
        kind=JobKind.POLL,
        subject=generation.key,
        target=target,
        state=JobState.SCHEDULED,
        deadline_at=generation.first_heard_at + _LIFETIME,
        run_at=run_at,
    )
    return (poll,)


def _may_be_linked(slot: Slot) -> bool:
    """Whether a slot waits for a link, and its provider was not asked since the last was lost."""
    waits = slot.state is SlotState.EXPECTED and not slot.role
    return waits and slot.asked <= len(slot.links)
