"""Generations of which the archive holds pictures."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from archiver.keys import blob_key
from archiver.models import Asset, Failure, Generation, GenerationState, Origin, Slot, SlotState

HEARD_AT = datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC)
PICTURE = b"\x89PNG\r\n\x1a\nthe bytes of a picture"

_STATES = {Origin.PROVIDER: SlotState.ARCHIVED, Origin.FALLBACK: SlotState.RENDERED}


def asset(origin: Origin = Origin.PROVIDER, media_type: str = "image/png") -> Asset:
    """A picture in the bucket."""
    digest = sha256(PICTURE).digest()
    return Asset(
        origin=origin,
        sha256=digest,
        blob_key=blob_key(digest, media_type.partition("/")[2]),
        size_bytes=len(PICTURE),
        media_type=media_type,
        width=1,
        height=1,
        archived_at=HEARD_AT,
    )


def generation(
    provider: str, generation_id: str, *slots: Asset | Failure | None, **more: Any
) -> Generation:
    """A generation with one slot each: held, failed, or never heard of again."""
    return Generation(
        provider=provider,
        id=generation_id,
        first_heard_at=HEARD_AT,
        slots=tuple(_slot(index, said) for index, said in enumerate(slots)),
        **{"state": GenerationState.SUCCEEDED, "created_at": HEARD_AT, **more},
    )


def _slot(index: int, said: Asset | Failure | None) -> Slot:
    if isinstance(said, Asset):
        return Slot(index=index, state=_STATES[said.origin], assets=(said,))
    return Slot(index=index, state=SlotState.DEAD if said else SlotState.EXPECTED, failure=said)
