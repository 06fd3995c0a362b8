"""A tombstone: that something was forgotten on purpose, and nothing of what it was.

What was forgotten is known by a digest of its name alone, which tells nobody the name but lets
whoever meets it again know that it is not to be taken in. The layout is a promise, as the
manifest's is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from archiver.cards import MAX_NUMBER
from archiver.errors import ManifestError
from archiver.keys import tombstone_key
from archiver.lifecycle import settle
from archiver.models import Failure, FailureClass, Generation, Slot
from archiver.moments import to_text

FORMAT = "holdfast-tombstone-1"

# Why something was forgotten, as a code that says nothing of it.
REASON = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")

FORGOTTEN = Failure(failure_class=FailureClass.DEAD, code="forgotten", message="it was forgotten")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tombstone:
    """What remains of a generation, or of one of its slots, if `index` says which.

    `name_sha256` is `name_digest` of the generation; its archive `numbers` are never given again.
    """

    name_sha256: bytes
    index: int | None
    numbers: tuple[int, ...]
    forgotten_at: datetime
    reason: str

    @property
    def key(self) -> str:
        """Where it lies in the bucket."""
        return tombstone_key(self.name_sha256, self.index)


class _Tombstone(msgspec.Struct):
    format: str
    name_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    index: Annotated[int, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)] | None
    numbers: tuple[Annotated[int, Meta(ge=1, le=MAX_NUMBER)], ...]
    forgotten_at: Annotated[datetime, Meta(tz=True)]
    reason: str


_decode = msgspec.json.Decoder(_Tombstone).decode


def name_digest(provider: str, generation_id: str) -> bytes:
    """The SHA-256 of `provider/id`."""
    return hashlib.sha256(f"{provider}/{generation_id}".encode("utf-8", "surrogatepass")).digest()


def render(tombstone: Tombstone) -> bytes:
    """A tombstone's bytes: UTF-8 JSON, keys in a fixed order."""
    document = {
        "format": FORMAT,
        "kind": "generation" if tombstone.index is None else "slot",
        "name_sha256": tombstone.name_sha256.hex(),
        "index": tombstone.index,
        "numbers": [*tombstone.numbers],
        "forgotten_at": to_text(tombstone.forgotten_at),
        "reason": tombstone.reason,
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def parse(text: bytes) -> Tombstone:
    """The tombstone that was rendered so; raises ManifestError."""
    try:
        found = _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"it is not as a tombstone must be: {error}") from error
    if found.format != FORMAT:
        raise ManifestError(f"it is of the format {found.format[:40]!r}, which is no tombstone's")
    return Tombstone(
        name_sha256=bytes.fromhex(found.name_sha256),
        index=found.index,
        numbers=found.numbers,
        forgotten_at=found.forgotten_at,
        reason=found.reason,
    )


def emptied(generation: Generation, indexes: Collection[int | None]) -> Generation:
    """The generation with nothing left of those slots but their numbers, whatever was heard since.

    An index of no slot changes nothing.
    """
    slots = (
        Slot(index=slot.index, role=slot.role, number=slot.number, failure=FORGOTTEN)
        if slot.index in indexes
        else slot
        for slot in generation.slots
    )
    return settle(generation, tuple(slots))
