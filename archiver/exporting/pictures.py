"""A slot's picture out of the bucket, held to its digest on the way."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from hashlib import sha256

from archiver.blobs import BlobStore
from archiver.errors import BucketError, HoldfastError
from archiver.exporting.pages import Found
from archiver.lifecycle import withheld
from archiver.models import Asset


class AbsentError(HoldfastError):
    """A slot's picture is not exported; the sentence says why.

    `lost`: it should be in the bucket, whole.
    """

    def __init__(self, why: str, *, lost: bool = False) -> None:
        super().__init__(why)
        self.lost = lost


@dataclass(kw_only=True, slots=True)
class Tally:
    """What an export has come to so far; `lost` are pictures that the bucket should have had."""

    slots: int = 0
    pictures: int = 0
    size_bytes: int = 0
    there: int = 0
    lost: int = 0


def picture_of(found: Found) -> Asset:
    """The picture that leads; raises AbsentError where there is none to be shown."""
    asset = found.slot.leading_asset
    if asset is None:
        raise AbsentError(f"no picture: {found.slot.state} ({found.slot.reason})")
    why = withheld(found.generation, found.slot)
    if why is not None:
        raise AbsentError(f"not shown: {why}")
    return asset


def file_name(found: Found, asset: Asset) -> str:
    """What its picture is called in an export, by archive number."""
    return f"pictures/{found.number}.{asset.blob_key.rpartition('.')[2]}"


def manifest_name(found: Found) -> str:
    """What the manifest beside the picture is called, by the same number."""
    return f"manifests/{found.number}.json"


async def bytes_of(blobs: BlobStore, asset: Asset) -> AsyncGenerator[bytes]:
    """The picture in pieces; once the last has come it is known that they are its very own.

    Raises AbsentError: before the first piece if the bucket has no such object, after the last if
    it is damaged. Raises BucketError if the bucket cannot say.
    """
    digest, size_bytes = sha256(), 0
    try:
        async with blobs.read(asset.blob_key) as chunks:
            async for chunk in chunks:
                size_bytes += len(chunk)
                if size_bytes > asset.size_bytes:
                    break
                digest.update(chunk)
                yield chunk
    except BucketError:
        if size_bytes or await blobs.head(asset.blob_key) is not None:
            raise
        raise AbsentError(f"missing in the bucket: {asset.blob_key}", lost=True) from None
    if digest.digest() != asset.sha256:
        raise AbsentError(f"damaged in the bucket: {asset.blob_key}", lost=True)
