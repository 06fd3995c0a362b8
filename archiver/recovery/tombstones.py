"""The tombstones in the bucket: put there, and read again by whoever fills an index."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from archiver.blobs import BlobStore, read_whole
from archiver.catalog.tombstones import WHOLE
from archiver.errors import ManifestError
from archiver.keys import TOMBSTONES
from archiver.models import Generation
from archiver.signing import Signer, Trust
from archiver.tombstone import Tombstone, emptied, name_digest, parse, render

Complain = Callable[[str, ManifestError], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Forgotten:
    """What must not be taken in: by digest of a generation's name the slots, or WHOLE."""

    slots: Mapping[bytes, frozenset[int | None]]

    def without(self, generation: Generation) -> Generation | None:
        """The generation less what of it was forgotten; None if that is all of it."""
        if not self.slots:
            return generation
        lost = self.slots.get(name_digest(generation.provider, generation.id))
        if lost is None:
            return generation
        if WHOLE in lost:
            return None
        return emptied(generation, lost)


async def put_tombstone(blobs: BlobStore, tombstone: Tombstone, signer: Signer | None) -> None:
    """Into the bucket, unless it is there already; raises BucketError."""
    text = render(tombstone)
    await blobs.put(
        tombstone.key,
        signer.sign(text) if signer else text,
        media_type="application/json",
        metadata={},
    )


async def read_tombstones(
    blobs: BlobStore, trust: Trust, complain: Complain, *, but: Collection[str] = ()
) -> list[Tombstone]:
    """All in the bucket but those of these keys; raises BucketError.

    One that cannot be read or must not be believed is complained of, and left out.
    """
    found: list[Tombstone] = []
    async for key in blobs.list(TOMBSTONES):
        if key in but:
            continue
        try:
            tombstone = parse(trust.open(await read_whole(blobs, key)).document)
            if tombstone.key != key:
                raise ManifestError("it is not where such a tombstone lies")
        except ManifestError as error:
            complain(key, error)
        else:
            found.append(tombstone)
    return found


def forgotten_by(tombstones: Collection[Tombstone]) -> Forgotten:
    """All that these tombstones say together."""
    slots: dict[bytes, frozenset[int | None]] = {}
    for tombstone in tombstones:
        known = slots.get(tombstone.name_sha256, frozenset())
        slots[tombstone.name_sha256] = known | {tombstone.index}
    return Forgotten(slots=slots)
