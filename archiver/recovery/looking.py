"""One object in the bucket held against what the catalog says of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from archiver.blobs import BlobStore
from archiver.catalog.fixity import Fixity, Stored
from archiver.errors import BucketError
from archiver.recovery.bandwidth import Bandwidth


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What an object is like, and what is amiss with it."""

    outcome: Fixity
    reason: str = ""


_WELL = Found(outcome=Fixity.OK)
_MISSING = Found(outcome=Fixity.MISSING, reason="there is no such object")


async def look(blobs: BlobStore, stored: Stored) -> Found:
    """Asks the store alone: whether it is there, its size, and the digest if the store keeps one.

    A store that keeps none, such as a folder, does not know of bytes that were turned.
    """
    try:
        head = await blobs.head(stored.blob_key)
    except BucketError as error:
        return Found(outcome=Fixity.UNREADABLE, reason=str(error))
    if head is None:
        return _MISSING
    if head.size_bytes != stored.size_bytes:
        return _of_another_size(stored, f"{head.size_bytes:,}")
    if head.sha256 not in (None, stored.sha256):
        return _damaged("the store keeps another SHA-256 of it")
    return _WELL


async def read_all(blobs: BlobStore, stored: Stored, bandwidth: Bandwidth) -> Found:
    """Reads and hashes every byte, a piece at a time; of one that is too large no more than that.

    Takes its turns of `bandwidth`.
    """
    digest, read_bytes = hashlib.sha256(), 0
    try:
        async with blobs.read(stored.blob_key) as pieces:
            async for piece in pieces:
                await bandwidth.spend(len(piece))
                digest.update(piece)
                read_bytes += len(piece)
                if read_bytes > stored.size_bytes:
                    return _of_another_size(stored, "more")
    except BucketError as error:
        # Only the store knows whether that was for want of an object.
        found = await look(blobs, stored)
        reason = str(error)
        return found if found != _WELL else Found(outcome=Fixity.UNREADABLE, reason=reason)
    if read_bytes != stored.size_bytes:
        return _of_another_size(stored, f"{read_bytes:,}")
    return (
        _WELL if digest.digest() == stored.sha256 else _damaged("its bytes are not what they were")
    )


def _damaged(reason: str) -> Found:
    return Found(outcome=Fixity.DAMAGED, reason=reason)


def _of_another_size(stored: Stored, instead: str) -> Found:
    return _damaged(f"it has {instead} instead of {stored.size_bytes:,} bytes")
