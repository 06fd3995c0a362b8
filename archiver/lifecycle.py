"""What follows from what is known: the law of generations and slots.

Law 1: everything that decides a state lives in this room; the others only carry it out.
Law 2: `merge` joins facts that only grow (ranks rise, sets widen, the worst failure stays), so any
order and any repetition of the same observations ends in the same generation.
Law 3: a slot's state is no history but a reading of its facts: the first row of `SLOT_LAW` that
holds. So a redelivery with a fresher link is a rescue by itself, even of a dead slot.

What a failed job does next is `retries`; the README's diagram is drawn from here by `diagram`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from archiver.expiry import expires_at
from archiver.joins import earliest, greatest, join_params, worst
from archiver.links import link
from archiver.models import (
    Asset,
    DeliveryRef,
    Failure,
    FailureClass,
    Generation,
    GenerationParams,
    GenerationState,
    JobKind,
    JobState,
    Link,
    Observation,
    Origin,
    Slot,
    SlotObservation,
    SlotState,
    WantedJob,
)

GENERATION_RANK = {state: rank for rank, state in enumerate(GenerationState)}

# A request may claim any number of samples; no seed document allows more than ten.
MAX_SLOTS = 64

NO_RENDERER = "no renderer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """All that a slot's state depends on."""

    original: bool = False
    drawn: bool = False
    live_link: bool = False
    failure_class: FailureClass | None = None
    drawable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotRule:
    """One row of the law: when the facts are so, the slot stands so, because."""

    when: Callable[[Facts], bool]
    state: SlotState
    because: str


SLOT_LAW: tuple[SlotRule, ...] = (
    SlotRule(
        when=lambda facts: facts.original,
        state=SlotState.ARCHIVED,
        because="the provider's picture is in the bucket",
    ),
    SlotRule(
        when=lambda facts: facts.drawn,
        state=SlotState.RENDERED,
        because="drawn by the fallback renderer",
    ),
    SlotRule(
        when=lambda facts: facts.live_link,
        state=SlotState.LINKED,
        because="a link is known and being fetched",
    ),
    SlotRule(
        when=lambda facts: facts.failure_class in (None, FailureClass.TRANSIENT),
        state=SlotState.EXPECTED,
        because="waiting for the provider",
    ),
    SlotRule(
        when=lambda facts: facts.failure_class is FailureClass.POLICY,
        state=SlotState.HELD,
        because="moderation, never drawn",
    ),
    SlotRule(
        when=lambda facts: facts.failure_class is FailureClass.OPERATOR,
        state=SlotState.HELD,
        because="needs the operator",
    ),
    SlotRule(
        when=lambda facts: facts.failure_class is FailureClass.DEAD,
        state=SlotState.DEAD,
        because="can neither be fetched nor drawn",
    ),
    SlotRule(
        when=lambda facts: facts.drawable,
        state=SlotState.HELD,
        because=NO_RENDERER,
    ),
    SlotRule(
        when=lambda _: True,
        state=SlotState.DEAD,
        because="lost, and no prompt is known to draw it from",
    ),
)

SETTLED = frozenset({SlotState.ARCHIVED, SlotState.RENDERED, SlotState.HELD, SlotState.DEAD})

# A provider's final word that no picture will come; anything less may still bring one.
_LOST_FOR = {
    GenerationState.LOST: Failure(failure_class=FailureClass.RENDERABLE),
    GenerationState.FAILED: Failure(failure_class=FailureClass.RENDERABLE),
    GenerationState.CANCELED: Failure(
        failure_class=FailureClass.DEAD, message="canceled at the provider"
    ),
}


def merge(
    known: Generation | None,
    observation: Observation,
    *,
    heard_in: DeliveryRef,
    received_at: datetime,
    link_lifetime: timedelta,
) -> Generation:
    """Joins one observation into what is known, without regard to order or repetition."""
    before = known or Generation(
        provider=observation.provider, id=observation.generation_id, first_heard_at=received_at
    )
    slot_failures = (slot.failure for slot in observation.slots)
    moderated = any(
        found is not None and found.failure_class is FailureClass.POLICY
        for found in (observation.failure, *slot_failures)
    )
    params = join_params(before.params, observation.params)
    # The provider's own clock may run ahead of ours: the earlier of both is the safer deadline.
    assumed = min(observation.completed_at or received_at, received_at) + link_lifetime
    after = replace(
        before,
        state=max(before.state, observation.state, key=GENERATION_RANK.__getitem__),
        failure=worst(before.failure, observation.failure),
        moderated=before.moderated or moderated,
        service=greatest(before.service, observation.service),
        params=params,
        track_id=greatest(before.track_id, observation.track_id),
        cost=greatest(before.cost, observation.cost),
        created_at=earliest(before.created_at, observation.created_at),
        completed_at=earliest(before.completed_at, observation.completed_at),
        first_heard_at=min(before.first_heard_at, received_at),
        slots=_join_slots(before.slots, params, observation, heard_in, assumed),
    )
    return settle(after)


def _join_slots(
    known: tuple[Slot, ...],
    params: GenerationParams,
    observation: Observation,
    heard_in: DeliveryRef,
    assumed: datetime,
) -> tuple[Slot, ...]:
    slots = {slot.index: slot for slot in known}
    for index in range(min(max(params.samples or 1, 1), MAX_SLOTS)):
        slots.setdefault(index, Slot(index=index))
    for seen in observation.slots:
        slot = slots.get(seen.index) or Slot(index=seen.index)
        slots[seen.index] = _join_slot(slot, seen, heard_in, assumed)
    return tuple(slots[index] for index in sorted(slots))


def _join_slot(slot: Slot, seen: SlotObservation, heard_in: DeliveryRef, assumed: datetime) -> Slot:
    failure = worst(slot.failure, seen.failure)
    if not seen.url:
        return replace(slot, failure=failure)
    fresh = link(seen.url, heard_in=heard_in, expires_at=expires_at(seen.url) or assumed)
    links = {known.url_sha256: known for known in slot.links}
    same = links.get(fresh.url_sha256)
    if same is not None:
        fresh = replace(
            same,
            expires_at=min(same.expires_at, fresh.expires_at),
            heard_in=min(same.heard_in, heard_in, key=lambda ref: (ref.inbox, ref.position)),
        )
    links[fresh.url_sha256] = fresh
    ordered = sorted(links.values(), key=lambda it: it.url_sha256)
    return replace(slot, failure=failure, links=tuple(ordered))


def settle(generation: Generation) -> Generation:
    """Reads every slot's state off its facts by `SLOT_LAW`."""
    slots = tuple(_settle_slot(generation, slot) for slot in generation.slots)
    return generation if slots == generation.slots else replace(generation, slots=slots)


def _settle_slot(generation: Generation, slot: Slot) -> Slot:
    failure = loss(generation, slot)
    facts = Facts(
        original=any(asset.origin is Origin.PROVIDER for asset in slot.assets),
        drawn=any(asset.origin is Origin.FALLBACK for asset in slot.assets),
        live_link=leading_link(slot) is not None,
        failure_class=failure.failure_class if failure else None,
        drawable=bool(generation.params.prompt),
    )
    rule = next(rule for rule in SLOT_LAW if rule.when(facts))
    why = failure.message or failure.code if failure else ""
    says_why = why and rule.state in (SlotState.HELD, SlotState.DEAD)
    reason = f"{rule.because}: {why}" if says_why else rule.because
    if (slot.state, slot.reason) == (rule.state, reason):
        return slot
    return replace(slot, state=rule.state, reason=reason)


def loss(generation: Generation, slot: Slot) -> Failure | None:
    """The worst that is known to have happened to a slot; a moderation signal outranks all."""
    whole = _LOST_FOR.get(generation.state)
    if whole is not None:
        whole = worst(whole, generation.failure)
    failure = worst(whole, slot.failure, *(known.failure for known in slot.links))
    if failure is not None and generation.moderated:
        return replace(failure, failure_class=FailureClass.POLICY)
    return failure


def leading_link(slot: Slot) -> Link | None:
    """The link worth trying first: of those not yet lost, the one that lives longest."""
    live = [known for known in slot.links if known.failure is None]
    return max(live, key=lambda it: (it.expires_at, it.url_sha256), default=None)


def archive(generation: Generation, index: int, asset: Asset) -> Generation:
    """The generation once `asset` is in the bucket; a second one of the same kind adds nothing."""

    def with_asset(slot: Slot) -> Slot:
        if any(known.origin is asset.origin for known in slot.assets):
            return slot
        return replace(slot, assets=(*slot.assets, asset))

    return _with_slot(generation, index, with_asset)


def lose_link(generation: Generation, index: int, digest: bytes, failure: Failure) -> Generation:
    """The generation once the link of that digest has come to a final bad end."""

    def without_link(slot: Slot) -> Slot:
        links = tuple(
            replace(known, failure=failure) if known.url_sha256 == digest else known
            for known in slot.links
        )
        return replace(slot, links=links)

    return _with_slot(generation, index, without_link)


def release_links(generation: Generation) -> Generation:
    """The generation with every link that waited for the operator worth trying again."""

    def released(known: Link) -> Link:
        waits = known.failure and known.failure.failure_class is FailureClass.OPERATOR
        return replace(known, failure=None) if waits else known

    slots = tuple(
        replace(slot, links=tuple(released(known) for known in slot.links))
        for slot in generation.slots
    )
    return settle(replace(generation, slots=slots))


def _with_slot(generation: Generation, index: int, change: Callable[[Slot], Slot]) -> Generation:
    slots = tuple(change(slot) if slot.index == index else slot for slot in generation.slots)
    return settle(replace(generation, slots=slots))


def plan(generation: Generation) -> tuple[WantedJob, ...]:
    """All the work a generation still wants; it must have been given its numbers.

    Wanting is idempotent: the same facts want the same jobs with the same targets.
    """
    assert generation.key is not None
    jobs = [job for slot in generation.slots for job in _plan_slot(generation, slot)]
    settled = any(slot.state in SETTLED for slot in generation.slots)
    if settled and generation.sealed_revision < generation.revision:
        target = str(generation.revision)
        jobs.append(WantedJob(kind=JobKind.SEAL, subject=generation.key, target=target))
    return tuple(jobs)


def _plan_slot(generation: Generation, slot: Slot) -> tuple[WantedJob, ...]:
    assert slot.number is not None
    best = leading_link(slot)
    if best is not None and slot.state in (SlotState.LINKED, SlotState.RENDERED):
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
    if slot.state is SlotState.HELD and drawable:
        render = WantedJob(
            kind=JobKind.RENDER,
            subject=slot.number,
            target="",
            state=JobState.HELD,
            reason=NO_RENDERER,
        )
        return (render,)
    return ()
