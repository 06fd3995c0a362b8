"""Where bytes go: one protocol for every bucket, whatever it is made of.

Drivers are `folder` (a local directory) and `s3`; `opening` chooses between them by URL. Each runs
the same contract suite.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from archiver.body import Body
from archiver.errors import NotAnObjectKeyError

# What `archiver.keys` makes: no segment is empty or begins with a dot, so none climbs.
_SEGMENT = r"[a-z0-9_%-][a-z0-9_%.-]*"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")


class Put(StrEnum):
    """What a put came to."""

    CREATED = "created"  # there was nothing under the key
    EXISTED = "existed"  # there was something, and it is untouched
    REPLACED = "replaced"  # whatever was there, this is there now


@dataclass(frozen=True, kw_only=True, slots=True)
class BlobHead:
    """What is known of an object without reading it.

    `sha256` is the digest that the store keeps of it, None where it keeps none.
    """

    size_bytes: int
    media_type: str
    metadata: Mapping[str, str]
    sha256: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PresignedPut:
    """A PUT to `url` that must carry all of `headers`, for they are signed; a key to the bucket."""

    url: str
    headers: Mapping[str, str]


class BlobStore(Protocol):
    """A bucket. Every method raises BucketError when the bucket fails, saying what to do about it,
    and NotAnObjectKeyError for a key that `archiver.keys` did not make."""

    async def put(
        self,
        key: str,
        body: Body | bytes,
        *,
        media_type: str,
        metadata: Mapping[str, str],
        replace: bool = False,
    ) -> Put:
        """Store `body` under `key`, whole or not at all, and durably before returning.

        Unless `replace`, what is there already stays, and of many putting at once one creates.
        Names in `metadata` are lower-case a-z, 0-9 and "-"; values are any text, 2 KB in all.
        """

    def read(
        self, key: str, *, begin: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes in pieces of any size; entering raises BucketError if there is no object.

        From `begin` on, and up to but without `end`: some bytes that the object has.
        """

    async def head(self, key: str) -> BlobHead | None:
        """What is known of an object, or None if there is none."""

    async def delete(self, key: str) -> None:
        """Remove an object, or nothing if there is none."""

    def list(self, prefix: str) -> AsyncIterator[str]:
        """Our keys that begin with `prefix`, in the order of their bytes."""

    def digests(self, prefix: str) -> AsyncIterator[tuple[str, str]]:
        """As `list`, with each key the MD5 of its object's bytes in hex, if the bucket knows it.

        For what went in parts, or is encrypted there, it may be anything else. Only for small
        objects: some buckets have to read them.
        """

    async def presigned_url(
        self, key: str, *, expires_seconds: int, media_type: str, filename: str
    ) -> str | None:
        """A URL by which a browser gets the object as a download called `filename`.

        None: this bucket cannot, so serve the bytes. The URL is a key to the object: never log it.
        """

    async def presigned_put(
        self,
        key: str,
        *,
        sha256: bytes,
        size_bytes: int,
        media_type: str,
        metadata: Mapping[str, str],
        expires_seconds: int,
    ) -> PresignedPut | None:
        """A request by which somebody else stores these very bytes, unless something is there.

        200 says that they are stored, 412 that there is something. None: this bucket cannot, or
        would let it overwrite, or never takes so much at once; so put the bytes yourself. Few
        servers hold the bytes to their digest here, so read them back. Never log the URL.
        """

    async def check(self) -> None:
        """Raise BucketError, saying what to do, if the bucket cannot be used."""

    async def sweep(self, *, begun_before: datetime) -> int:
        """Remove what puts begun before that moment left unfinished; how many there were.

        Give the longest put its time: one that is still under way would lose its bytes.
        """

    async def close(self) -> None:
        """Let go of connections."""


async def read_whole(blobs: BlobStore, key: str) -> bytes:
    """All bytes of a small object; raises BucketError if there is none."""
    async with blobs.read(key) as pieces:
        return b"".join([piece async for piece in pieces])


def is_key(text: str) -> bool:
    """Whether `text` has the form that `archiver.keys` gives; anything else is not ours."""
    return _KEY.fullmatch(text) is not None


def require_key(key: str) -> None:
    """Raise NotAnObjectKeyError unless `key` has the form that `archiver.keys` gives."""
    if not is_key(key):
        raise NotAnObjectKeyError(
            f"{key[:200]!r} is no object key; a bug of ours, please report it"
        )
