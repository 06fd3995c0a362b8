"""Pictures that come from another host: straight into the bucket, or through the archive.

Either way the bytes are put aside first, under a key of the lease that nothing else is ever read
from. Completing brings them to where all pictures lie, by the same way and as well examined, so
that whoever draws elsewhere can neither write nor remove what is not its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from archiver.blobs import BlobStore, PresignedPut
from archiver.catalog import CatalogReader
from archiver.desk import Commission, leases
from archiver.desk.catalog import MEDIA_TYPE, CatalogDesk
from archiver.errors import BucketError, FetchError
from archiver.models import Asset, Fault, Rendering

# Enough for the request to begin; how long it then takes is the server's own affair.
_PRESIGNED_SECONDS = 300

_FOLDER = "uploads/"
_KEY = re.compile(rf"{_FOLDER}(\d+)-(\d+)", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploads:
    """The way into the bucket for whoever holds a commission of `desk`."""

    desk: CatalogDesk

    async def presign(
        self, commission: Commission, sha256: bytes, size_bytes: int
    ) -> PresignedPut | None:
        """A request that puts these bytes aside; None: send them through us. LeaseLostError."""
        await self.desk.require(commission)
        return await self.desk.store.blobs.presigned_put(
            _key(commission),
            sha256=sha256,
            size_bytes=size_bytes,
            media_type=MEDIA_TYPE,
            metadata={},
            expires_seconds=_PRESIGNED_SECONDS,
        )

    async def receive(
        self, commission: Commission, chunks: AsyncIterator[bytes], declared_bytes: int | None
    ) -> None:
        """The same through us; raises LeaseLostError, FetchError."""
        await self.desk.require(commission)
        await self.desk.store.put_aside(_key(commission), chunks, declared_bytes)

    async def complete(
        self, commission: Commission, sha256: bytes, size_bytes: int, rendering: Rendering
    ) -> None:
        """See Desk, for bytes of that digest and size which were put aside by either way."""
        if await self.desk.is_completed(commission):
            return
        await self.desk.require(commission)
        try:
            asset = await self._take_in(commission, sha256, size_bytes)
        except BucketError as error:
            raise FetchError(Fault.OURS, str(error)) from error
        await self.desk.settle(commission, asset, rendering)
        await self.discard(commission)

    async def discard(self, commission: Commission) -> None:
        """Takes away what was put aside; what cannot be now is swept away another day."""
        with suppress(BucketError):
            await self.desk.store.blobs.delete(_key(commission))

    async def _take_in(self, commission: Commission, sha256: bytes, size_bytes: int) -> Asset:
        key, blobs = _key(commission), self.desk.store.blobs
        if await blobs.head(key) is None:
            raise FetchError(Fault.MISSING, "the picture has not come")
        async with blobs.read(key) as chunks:
            offered = _as_offered(chunks, sha256, size_bytes)
            try:
                return await self.desk.take_in(commission, offered, None)
            except FetchError as error:
                if error.fault is not Fault.OURS:
                    await self.discard(commission)
                raise


async def sweep(blobs: BlobStore, reader: CatalogReader) -> int:
    """Removes what leases that have ended left aside; how much there was. Raises BucketError."""
    count = 0
    async for key in blobs.list(_FOLDER):
        found = _KEY.fullmatch(key)
        job_id, fence = map(int, found.groups()) if found else (0, 0)
        if not await reader.read(partial(leases.is_held, job_id=job_id, fence=fence)):
            await blobs.delete(key)
            count += 1
    return count


async def _as_offered(
    chunks: AsyncIterator[bytes], sha256: bytes, size_bytes: int
) -> AsyncIterator[bytes]:
    """The same; raises FetchError at the end if it was not what was offered."""
    digest, read_bytes = hashlib.sha256(), 0
    async for chunk in chunks:
        digest.update(chunk)
        read_bytes += len(chunk)
        yield chunk
    if (digest.digest(), read_bytes) != (sha256, size_bytes):
        raise FetchError(Fault.DAMAGED, f"what came is not what was offered, {read_bytes} bytes")


def _key(commission: Commission) -> str:
    return f"{_FOLDER}{commission.job_id}-{commission.fence}"
