"""The staircase that both wings use: stream, hash, examine, name, put; then there is an Asset."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from pathlib import Path

from archiver.blobs import BlobStore, Put
from archiver.body import DEFAULT_MEMORY_BYTES, Body, Budget, collect
from archiver.errors import BucketError, FetchError
from archiver.keys import blob_key
from archiver.media import Flaw, Media, Walker
from archiver.models import Asset, Fault, Generation, Origin

# S3 takes 2 KB of metadata, and a character may be nine bytes once it is escaped. The manifest
# has the whole.
_MAX_METADATA_CHARACTERS = 150


class Store:
    """Takes bytes into the bucket, never more of them in memory at once than `budget` allows."""

    def __init__(
        self,
        blobs: BlobStore,
        budget: Budget,
        spool_dir: Path,
        max_memory_bytes: int = DEFAULT_MEMORY_BYTES,
    ) -> None:
        self.blobs = blobs
        self._budget = budget
        self._spool_dir = spool_dir
        self._max_memory_bytes = max_memory_bytes

    async def take_in(
        self,
        chunks: AsyncIterator[bytes],
        declared_bytes: int | None,
        *,
        origin: Origin,
        provenance: Mapping[str, str],
        now: Callable[[], datetime],
        only: str | None = None,
    ) -> Asset:
        """Bring one picture or video into the bucket; it is there, durably, before this returns.

        `provenance` becomes the object's metadata; `only` is the one media type that is wanted.
        Raises FetchError: SHORT, NOT_MEDIA or TOO_LARGE before anything is put, OURS when bucket or
        disk fail, and whatever FetchError `chunks` raises.
        """
        walker = Walker()
        try:
            async with await collect(
                chunks,
                declared_bytes,
                budget=self._budget,
                spool_dir=self._spool_dir,
                walker=walker,
                max_memory_bytes=self._max_memory_bytes,
            ) as body:
                media = walker.finish()
                if isinstance(media, Flaw):
                    raise FetchError(media.fault, media.reason)
                if only not in (None, media.media_type):
                    raise FetchError(Fault.NOT_MEDIA, f"it is {media.media_type}, and not {only}")
                key = blob_key(body.sha256, media.extension)
                await self._put(key, body, media, provenance)
        except BucketError as error:
            raise FetchError(Fault.OURS, str(error)) from error
        except OSError as error:
            raise FetchError(
                Fault.OURS, f"{self._spool_dir} cannot hold a body in passing: {error.strerror}"
            ) from error
        return Asset(
            origin=origin,
            sha256=body.sha256,
            blob_key=key,
            size_bytes=body.size_bytes,
            media_type=media.media_type,
            width=media.width,
            height=media.height,
            archived_at=now(),
        )

    async def put_aside(
        self, key: str, chunks: AsyncIterator[bytes], declared_bytes: int | None
    ) -> None:
        """Store what comes under `key` as it is, in place of what was there; whatever it may be.

        Raises FetchError: OURS when bucket or disk fail, and whatever FetchError `chunks` raises.
        """
        try:
            async with await collect(
                chunks,
                declared_bytes,
                budget=self._budget,
                spool_dir=self._spool_dir,
                walker=Walker(),
                max_memory_bytes=self._max_memory_bytes,
            ) as body:
                await self.blobs.put(
                    key, body, media_type="application/octet-stream", metadata={}, replace=True
                )
        except BucketError as error:
            raise FetchError(Fault.OURS, str(error)) from error
        except OSError as error:
            raise FetchError(
                Fault.OURS, f"{self._spool_dir} cannot hold a body in passing: {error.strerror}"
            ) from error

    async def _put(self, key: str, body: Body, media: Media, provenance: Mapping[str, str]) -> None:
        """Put once; what lies there already is left, unless a server once kept half of it."""
        outcome = await self.blobs.put(key, body, media_type=media.media_type, metadata=provenance)
        if outcome is not Put.EXISTED:
            return
        head = await self.blobs.head(key)
        if head is None or head.size_bytes != body.size_bytes:
            await self.blobs.put(
                key, body, media_type=media.media_type, metadata=provenance, replace=True
            )


def provenance_of(generation: Generation, index: int) -> dict[str, str]:
    """Where a slot's bytes come from, as their object's metadata says it."""
    return {
        "provider": generation.provider,
        "generation": generation.id[:_MAX_METADATA_CHARACTERS],
        "slot": str(index),
    }
