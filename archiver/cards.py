"""A card: all of one slot that is filtered by, sorted by, counted and shown, in one flat row."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import msgspec

from archiver.models import Asset, Generation, GenerationState, Origin, Slot, SlotState

# The greatest whole number that a column can hold.
MAX_NUMBER = 2**63 - 1

Number = TypeVar("Number", int, float)


# No dataclass: a page makes sixty of them and a change two, at a tenth of the cost.
class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One output slot, seen from outside; None is what nobody has said.

    Origin, type, bytes and digest are those of the leading asset. `width` and `height`, in pixels,
    are its too, or else what was asked for. `cost_micros` is one picture's part of what its
    generation cost, in millionths of the provider's unit. `drawn`: the fallback has drawn it, be
    the original there or not; `flagged`: the leading asset is not to be shown; `damaged`: its
    bytes are no longer in the bucket as they were. `created_at` is when it was first heard of where
    the provider does not say it. Every whole number fits a column, but the seed, which has 64 bits
    without a sign.
    """

    number: int
    provider: str
    generation_id: str
    slot_index: int
    service: str | None = None
    model: str | None = None
    version: str | None = None
    generation_state: GenerationState
    state: SlotState
    reason: str = ""
    origin: Origin | None = None
    scheduler: str | None = None
    media_type: str | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    cost_micros: int | None = None
    size_bytes: int | None = None
    sha256: bytes | None = None
    track_id: str | None = None
    created_at: datetime
    completed_at: datetime | None = None
    archived_at: datetime | None = None
    first_heard_at: datetime
    drawn: bool = False
    flagged: bool = False
    moderated: bool = False
    damaged: bool = False


def card_of(generation: Generation, slot: Slot) -> Card:
    """The card of an output slot that has its archive number."""
    assert slot.number is not None
    params, asset = generation.params, slot.leading_asset
    width, height = _extent(generation, asset)
    return Card(
        number=slot.number,
        provider=generation.provider,
        generation_id=generation.id,
        slot_index=slot.index,
        service=generation.service,
        model=params.model,
        version=params.version,
        generation_state=generation.state,
        state=slot.state,
        reason=slot.reason,
        origin=asset.origin if asset else None,
        scheduler=params.scheduler,
        media_type=asset.media_type if asset else None,
        width=width,
        height=height,
        steps=_storable(params.steps),
        guidance_scale=_storable(params.guidance_scale),
        seed=params.seed,
        cost_micros=_cost_micros(generation),
        size_bytes=asset.size_bytes if asset else None,
        sha256=asset.sha256 if asset else None,
        track_id=generation.track_id,
        created_at=generation.created_at or generation.first_heard_at,
        completed_at=generation.completed_at,
        archived_at=asset.archived_at if asset else None,
        first_heard_at=generation.first_heard_at,
        drawn=any(known.origin is Origin.FALLBACK for known in slot.assets),
        flagged=asset is not None and asset.rendering is not None and asset.rendering.flagged,
        moderated=generation.moderated,
        damaged=asset is not None and asset.damaged,
    )


def _extent(generation: Generation, asset: Asset | None) -> tuple[int | None, int | None]:
    """Width and height of what there is, else of what was asked for; never one of each."""
    if asset is not None and asset.width and asset.height:
        return asset.width, asset.height
    return _storable(generation.params.width), _storable(generation.params.height)


def _cost_micros(generation: Generation) -> int | None:
    """One output's part of the whole, so that pages of them can be summed up."""
    outputs = sum(not slot.role for slot in generation.slots)
    if generation.cost is None or not outputs:
        return None
    micros = _storable(generation.cost / outputs * 1_000_000)
    return None if micros is None else round(micros)


def _storable(number: Number | None) -> Number | None:
    """What a column can hold; what is beyond, or no number, is neither a size nor a price."""
    return number if number is not None and abs(number) <= MAX_NUMBER else None
