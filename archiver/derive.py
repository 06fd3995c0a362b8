"""Performs a derive job: a thumbnail and a perceptual hash of a picture in the bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile

from archiver.blobs import BlobStore
from archiver.catalog import CatalogReader, Tables
from archiver.deriving.messages import Refused
from archiver.deriving.pool import NoChildError, Pool
from archiver.errors import BucketError
from archiver.keys import thumb_key
from archiver.ledger import keep
from archiver.models import Asset
from archiver.previews import MEDIA_TYPE, Preview
from archiver.retries import backoff_seconds
from archiver.search import find
from archiver.work import Job, JobState
from archiver.worker import Settle, Settled

# An uncompressed picture of 33 million pixels; none that a provider makes comes near it.
MAX_BYTES = 100_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Derive:
    """One preview after another; `perform` is the worker's performer.

    Whatever a picture does to the process that decodes it becomes an outcome, and so does what was
    derived of another slot's picture with the same bytes. `spool` is a folder of its own.
    """

    blobs: BlobStore
    catalog: CatalogReader
    pool: Pool
    spool: Path
    now: Callable[[], datetime]
    random: Callable[[], float]

    async def perform(self, job: Job) -> Settle:
        """Puts the thumbnail into the bucket; our own trouble is an outcome, too."""
        sha256 = bytes.fromhex(job.target)
        with self.catalog.view() as tables:
            known = tables.previews.of([sha256]).get(sha256)
            asset = _asset(tables, job, sha256)
        try:
            return self._settle_derived(job, sha256, known or await self._derive(asset))
        except (BucketError, NoChildError) as error:
            return self._settle_failed(job, str(error))
        except OSError as error:
            reason = f"{self.spool} cannot hold a picture in passing: {error.strerror}"
            return self._settle_failed(job, reason)

    async def _derive(self, asset: Asset) -> Preview:
        """The preview, once its thumbnail is in the bucket."""
        if asset.size_bytes > MAX_BYTES:
            return Preview(reason=f"it has more than {MAX_BYTES:,} bytes")
        self.spool.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=self.spool) as file:
            async with self.blobs.read(asset.blob_key) as chunks:
                async for chunk in chunks:
                    await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(file.flush)
            made = await self.pool.make(Path(file.name))
        if isinstance(made, Refused):
            return Preview(reason=made.reason)
        key = thumb_key(asset.sha256)
        await self.blobs.put(key, made.webp, media_type=MEDIA_TYPE, metadata={})
        return Preview(phash=made.phash, width=made.width, height=made.height)

    def _settle_derived(self, job: Job, sha256: bytes, preview: Preview) -> Settle:
        refused = preview.reason
        state = JobState.DISCARDED if refused else JobState.COMPLETED

        def settle(tables: Tables) -> Settled:
            now = self.now()
            tables.jobs.finish(job, state, reason=refused, now=now)
            tables.previews.put(sha256, preview)
            generation = tables.generations.load_slot(job.subject)
            assert generation is not None
            keep(tables, generation, generation, now=now)  # another picture may lead by now
            says = {"provider": generation.provider, "generation": generation.id}
            if refused:
                return Settled(outcome="not derived", says={**says, "reason": refused})
            return Settled(outcome="derived", says=says)

        return settle

    def _settle_failed(self, job: Job, reason: str) -> Settle:
        now = self.now()
        run_at = now + timedelta(seconds=backoff_seconds(job.attempts, self.random()))

        def settle(tables: Tables) -> Settled:
            tables.jobs.finish(job, JobState.SCHEDULED, reason=reason, run_at=run_at, now=now)
            return Settled(outcome="retry", says={"reason": reason})

        return settle


def _asset(tables: Tables, job: Job, sha256: bytes) -> Asset:
    """What was wanted of the slot, even if another picture leads by now."""
    known = find(tables, job.subject)
    assert known is not None  # rows are never deleted under a claimed job
    return next(asset for asset in known[1].assets if asset.sha256 == sha256)
