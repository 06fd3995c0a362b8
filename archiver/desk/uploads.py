"""Pictures that come from another host: straight into the bucket, or through the archive.

Either way the bytes lie in the bucket under their digest first and belong to nobody; completing
reads them back, so that no row ever claims what is not there, whole, and a PNG.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from archiver.blobs import PresignedPut
from archiver.catalog import assets
from archiver.desk import Commission
from archiver.desk.catalog import MEDIA_TYPE, CatalogDesk, provenance
from archiver.errors import BucketError, FetchError
from archiver.keys import blob_key
from archiver.media import Flaw, Media, Walker
from archiver.models import Asset, Fault, Origin, Rendering

# Enough for the request to begin; how long it then takes is the server's own affair.
_PRESIGNED_SECONDS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploads:
    """The way into the bucket for whoever holds a commission of `desk`."""

    desk: CatalogDesk

    async def presign(
        self, commission: Commission, sha256: bytes, size_bytes: int
    ) -> PresignedPut | None:
        """A request that stores these bytes; None: send them through us. Raises LeaseLostError."""
        await self.desk.require(commission)
        return await self.desk.store.blobs.presigned_put(
            _key(sha256),
            sha256=sha256,
            size_bytes=size_bytes,
            media_type=MEDIA_TYPE,
            metadata=provenance(commission),
            expires_seconds=_PRESIGNED_SECONDS,
        )

    async def receive(
        self, commission: Commission, chunks: AsyncIterator[bytes], declared_bytes: int | None
    ) -> Asset:
        """The same through us; raises LeaseLostError, FetchError."""
        return await self.desk.take_in(commission, chunks, declared_bytes)

    async def complete(
        self, commission: Commission, sha256: bytes, size_bytes: int, rendering: Rendering
    ) -> None:
        """See Desk, for bytes of that digest and size which have come by either way.

        What is there and is not what was offered is taken away, unless some slot claims it.
        """
        if await self.desk.is_completed(commission):
            return
        await self.desk.require(commission)
        try:
            asset = await self._read_back(sha256, size_bytes)
        except BucketError as error:
            raise FetchError(Fault.OURS, str(error)) from error
        await self.desk.settle(commission, asset, rendering)

    async def _read_back(self, sha256: bytes, size_bytes: int) -> Asset:
        key, blobs = _key(sha256), self.desk.store.blobs
        if await blobs.head(key) is None:
            raise FetchError(Fault.MISSING, "the picture has not come")
        walker, digest, read_bytes = Walker(), hashlib.sha256(), 0
        async with blobs.read(key) as chunks:
            async for chunk in chunks:
                walker.feed(chunk)
                digest.update(chunk)
                read_bytes += len(chunk)
        media = walker.finish()
        if (digest.digest(), read_bytes) != (sha256, size_bytes):
            await self._discard(key, sha256)
            raise FetchError(
                Fault.DAMAGED, f"what came is not what was offered, {read_bytes} bytes"
            )
        if isinstance(media, Flaw) or media.media_type != MEDIA_TYPE:
            await self._discard(key, sha256)
            why = f"it is {media.media_type}" if isinstance(media, Media) else media.reason
            raise FetchError(Fault.NOT_MEDIA, f"what came is no whole PNG: {why}")
        return Asset(
            origin=Origin.FALLBACK,
            sha256=sha256,
            blob_key=key,
            size_bytes=size_bytes,
            media_type=media.media_type,
            width=media.width,
            height=media.height,
            archived_at=self.desk.now(),
        )

    async def _discard(self, key: str, sha256: bytes) -> None:
        claimed = await self.desk.reader.read(
            lambda tables: assets.slots_with_digest(tables.connection, sha256)
        )
        if not claimed:
            await self.desk.store.blobs.delete(key)


def _key(sha256: bytes) -> str:
    return blob_key(sha256, "png")
