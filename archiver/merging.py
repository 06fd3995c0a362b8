"""Joining what one delivery says into what is known of a generation.

What is joined only grows (ranks rise, sets widen, the worst failure stays), so any order and any
repetition of the same observations ends in the same generation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zlib import crc32

from archiver.expiry import expires_at
from archiver.joins import earliest, greatest, join_links, join_params, latest, worst
from archiver.lifecycle import GENERATION_RANK, settle
from archiver.links import link
from archiver.models import (
    DeliveryRef,
    Failure,
    FailureClass,
    Generation,
    GenerationParams,
    GenerationState,
    InputObservation,
    Observation,
    Slot,
    SlotObservation,
)

# A request may claim any number of samples; no seed document allows more than ten.
MAX_SLOTS = 64

_NO_LINK = Failure(failure_class=FailureClass.DEAD, message="it was not sent as a link")

# What is known of a generation before anything is: joining it to an observation adds nothing.
_UNHEARD = Generation(provider="", id="", first_heard_at=datetime.max.replace(tzinfo=UTC))


def merge(
    known: Generation | None,
    observation: Observation,
    *,
    heard_in: DeliveryRef,
    received_at: datetime,
    link_lifetime: timedelta,
) -> Generation:
    """Joins one observation into what is known, without regard to order or repetition."""
    before = known or _UNHEARD
    slot_failures = (slot.failure for slot in observation.slots)
    moderated = any(
        found is not None and found.failure_class is FailureClass.POLICY
        for found in (observation.failure, *slot_failures)
    )
    params = join_params(before.params, observation.params)
    # The provider's own clock may run ahead of ours: the earlier of both is the safer deadline.
    assumed = min(observation.completed_at or received_at, received_at) + link_lifetime
    joined = Generation(
        provider=observation.provider,
        id=observation.generation_id,
        account=greatest(before.account, observation.account),
        key=before.key,
        state=max(before.state, observation.state, key=GENERATION_RANK.__getitem__),
        failure=worst(before.failure, observation.failure),
        moderated=before.moderated or moderated,
        canceled=before.canceled or observation.state is GenerationState.CANCELED,
        service=greatest(before.service, observation.service),
        params=params,
        track_id=greatest(before.track_id, observation.track_id),
        cost=greatest(before.cost, observation.cost),
        created_at=earliest(before.created_at, observation.created_at),
        completed_at=earliest(before.completed_at, observation.completed_at),
        first_heard_at=min(before.first_heard_at, received_at),
        hinted_at=latest(before.hinted_at, received_at if observation.hint else None),
        revision=before.revision,
        sealed_revision=before.sealed_revision,
    )
    return settle(joined, _join_slots(before.slots, params, observation, heard_in, assumed))


def _join_slots(
    known: tuple[Slot, ...],
    params: GenerationParams,
    observation: Observation,
    heard_in: DeliveryRef,
    assumed: datetime,
) -> tuple[Slot, ...]:
    slots = {slot.index: slot for slot in known}
    for seen in observation.slots:
        slots[seen.index] = _join_slot(slots.get(seen.index), seen, heard_in, assumed)
    for index in range(min(max(params.samples or 1, 1), MAX_SLOTS)):
        if index not in slots:
            slots[index] = Slot(index=index)
    for index, seen_input in _numbered(observation.inputs):
        slot = slots.get(index) or Slot(index=index, role=seen_input.role)
        failure = None if seen_input.url else _NO_LINK
        seen = SlotObservation(index=index, url=seen_input.url, failure=failure)
        slots[index] = _join_slot(slot, seen, heard_in, assumed)
    return tuple(slots[index] for index in sorted(slots))


def _numbered(inputs: Iterable[InputObservation]) -> Iterator[tuple[int, InputObservation]]:
    """A negative index for each, by its role and its place among those of one role alone.

    So every observation of the same request gives the same, whatever others have said.
    """
    places: Counter[str] = Counter()
    for seen in inputs:
        name = f"{seen.role} {places[seen.role]}"
        places[seen.role] += 1
        if places.total() <= MAX_SLOTS:
            yield -1 - crc32(name.encode()), seen


def _join_slot(
    slot: Slot | None, seen: SlotObservation, heard_in: DeliveryRef, assumed: datetime
) -> Slot:
    links = {known.url_sha256: known for known in slot.links} if slot else {}
    if seen.url:
        fresh = link(seen.url, heard_in=heard_in, expires_at=expires_at(seen.url) or assumed)
        same = links.get(fresh.url_sha256)
        links[fresh.url_sha256] = join_links(same, fresh) if same else fresh
    ordered = tuple(sorted(links.values(), key=lambda it: it.url_sha256))
    if slot is None:
        return Slot(index=seen.index, failure=seen.failure, links=ordered)
    return replace(slot, failure=worst(slot.failure, seen.failure), links=ordered)
