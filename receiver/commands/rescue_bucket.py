"""`holdfast rescue --bucket`: what the bucket lacks, and what it has that nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from archiver import clock
from archiver.blobs import BlobStore
from archiver.body import Budget
from archiver.catalog import Catalog, CatalogReader
from archiver.egress import Egress
from archiver.recovery.bucket_check import Compared, bring_back, compare
from archiver.recovery.mending import Mending
from receiver.inboxes import Inboxes
from receiver.roles.archive import download_hosts, egress_policy
from receiver.roles.bucket import bucket_of
from receiver.settings import Config


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketRescue:
    """The bucket of an archive, listed and mended."""

    config: Config
    archive: CatalogReader
    inboxes: Inboxes

    async def look(self, progress: Callable[[int], None]) -> Compared:
        """Lists it; raises BucketError."""
        async with self._blobs() as blobs:
            await blobs.check()
            return await compare(blobs, self.archive, progress=progress)

    async def mend(
        self,
        catalog: Catalog,
        compared: Compared,
        stop: asyncio.Event,
        progress: Callable[[int], None],
    ) -> Compared:
        """Brings back what links still give and marks the rest; what is left to say."""
        async with AsyncExitStack() as stack:
            mending = Mending(
                egress=await stack.enter_async_context(Egress(egress_policy(self.config))),
                blobs=await stack.enter_async_context(self._blobs()),
                catalog=self.archive,
                reveal=self.inboxes.reveal,
                download_hosts=lambda provider: download_hosts(self.config, provider),
                budget=Budget(self.config.archive.memory_bytes),
                spool=self.config.catalog.folder / "spool",
                now=clock.now,
            )
            await bring_back(
                catalog,
                compared.missing,
                mend=mending.mend,
                now=clock.now,
                stop=stop,
                progress=progress,
            )
        return compared if stop.is_set() else replace(compared, missing=())

    @asynccontextmanager
    async def _blobs(self) -> AsyncIterator[BlobStore]:
        blobs = bucket_of(self.config, self.archive)
        try:
            yield blobs
        finally:
            await blobs.close()
