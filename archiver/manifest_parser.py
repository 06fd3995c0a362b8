"""Reading manifests: what `manifest` renders becomes the generation again that it shows.

What a newer version has added is passed over; what contradicts the layout is refused, so that no
half of a generation reaches an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from archiver.blobs import is_key
from archiver.cards import MAX_NUMBER
from archiver.errors import ManifestError
from archiver.links import public_part
from archiver.manifest import FORMAT
from archiver.models import (
    Asset,
    DeliveryRef,
    Failure,
    FailureClass,
    Generation,
    GenerationParams,
    GenerationState,
    Link,
    Origin,
    Rendering,
    Slot,
    SlotState,
    Undrawn,
)

_Number = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
_Index = Annotated[int, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
_Moment = Annotated[datetime, Meta(tz=True)]
_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class _Failure(msgspec.Struct):
    failure_class: FailureClass = msgspec.field(name="class")
    code: str
    message: str


class _Link(msgspec.Struct):
    location: str
    url_sha256: _Digest
    inbox: str
    position: _Number
    expires_at: _Moment
    failure: _Failure | None = None


class _Asset(msgspec.Struct):
    origin: Origin
    sha256: _Digest
    blob_key: str
    size_bytes: _Number
    media_type: str
    width: _Number | None
    height: _Number | None
    archived_at: _Moment
    rendering: Rendering | None = None


class _Slot(msgspec.Struct):
    number: Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
    index: _Index
    state: SlotState
    reason: str
    assets: tuple[_Asset, ...]
    links: tuple[_Link, ...]
    role: str = ""
    failure: _Failure | None = None
    asked: _Number = 0
    undrawn: Undrawn | None = None


class _Manifest(msgspec.Struct):
    format: str
    provider: Annotated[str, Meta(min_length=1)]
    id: Annotated[str, Meta(min_length=1)]
    revision: _Number
    state: GenerationState
    moderated: bool
    params: GenerationParams
    first_heard_at: _Moment
    slots: tuple[_Slot, ...]
    account: str | None = None
    failure: _Failure | None = None
    canceled: bool = False
    service: str | None = None
    track_id: str | None = None
    cost: float | None = None
    created_at: _Moment | None = None
    completed_at: _Moment | None = None


class _Head(msgspec.Struct):
    format: str


_decode = msgspec.json.Decoder(_Manifest).decode
_decode_head = msgspec.json.Decoder(_Head).decode


def parse(text: bytes, *, key: int | None = None) -> Generation:
    """The generation that a manifest shows, sealed at its revision; raises ManifestError.

    It has its archive numbers, and the key that is given. What a manifest does not promise is not
    in it: `hinted_at` is None, and of a link there is the public part alone.
    """
    try:
        found = _decode(text)
        if found.format != FORMAT:
            raise _of_another_format(found.format)
        return _generation(found, key)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refusal(text, error) from error


def _refusal(text: bytes, error: Exception) -> ManifestError:
    """Why it cannot be read: what it is comes before what is wrong with it."""
    try:
        named = _decode_head(text).format
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ManifestError(f"it is no manifest: {error}")
    if named != FORMAT:
        return _of_another_format(named)
    return ManifestError(f"it is not as a manifest must be: {error}")


def _of_another_format(named: str) -> ManifestError:
    return ManifestError(
        f"it is of the format {named[:40]!r}, and this holdfast reads {FORMAT!r}: use the version "
        "that wrote it, or a newer one"
    )


def _generation(found: _Manifest, key: int | None) -> Generation:
    slots = tuple(map(_slot, found.slots))
    _require_different("slots", [slot.index for slot in slots])
    _require_different("archive numbers", [slot.number for slot in slots])
    return Generation(
        provider=found.provider,
        id=found.id,
        account=found.account,
        key=key,
        state=found.state,
        failure=_failure(found.failure),
        moderated=found.moderated,
        canceled=found.canceled,
        service=found.service,
        params=found.params,
        track_id=found.track_id,
        cost=found.cost,
        created_at=found.created_at,
        completed_at=found.completed_at,
        first_heard_at=found.first_heard_at,
        revision=found.revision,
        sealed_revision=found.revision,
        slots=slots,
    )


def _slot(found: _Slot) -> Slot:
    _require_different("links", [link.url_sha256 for link in found.links])
    _require_different("origins", [asset.origin for asset in found.assets])
    return Slot(
        index=found.index,
        role=found.role,
        number=found.number,
        state=found.state,
        reason=found.reason,
        failure=_failure(found.failure),
        asked=found.asked,
        links=tuple(map(_link, found.links)),
        assets=tuple(map(_asset, found.assets)),
        undrawn=found.undrawn,
    )


def _asset(found: _Asset) -> Asset:
    if not is_key(found.blob_key):
        raise ValueError(f"{found.blob_key[:80]!r} is no object's key")
    return Asset(
        origin=found.origin,
        sha256=bytes.fromhex(found.sha256),
        blob_key=found.blob_key,
        size_bytes=found.size_bytes,
        media_type=found.media_type,
        width=found.width,
        height=found.height,
        archived_at=found.archived_at,
        rendering=found.rendering,
    )


def _link(found: _Link) -> Link:
    return Link(
        url_sha256=bytes.fromhex(found.url_sha256),
        location=found.location,
        host=public_part(found.location)[1],
        expires_at=found.expires_at,
        heard_in=DeliveryRef(inbox=found.inbox, position=found.position),
        failure=_failure(found.failure),
    )


def _failure(found: _Failure | None) -> Failure | None:
    if found is None:
        return None
    return Failure(failure_class=found.failure_class, code=found.code, message=found.message)


def _require_different(what: str, values: Sequence[object]) -> None:
    if len(values) > 1 and len(set(values)) < len(values):
        raise ValueError(f"two of its {what} are the same")
