"""Performs a seal job: writes a generation's manifest beside its bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from archiver import manifest
from archiver.blobs import BlobStore
from archiver.catalog import CatalogReader, Tables
from archiver.errors import BucketError
from archiver.keys import manifest_key
from archiver.ledger import keep
from archiver.models import Generation
from archiver.retries import backoff_seconds
from archiver.signing import Signer
from archiver.work import Job, JobState
from archiver.worker import Settle, Settled


@dataclass(frozen=True, kw_only=True, slots=True)
class Seal:
    """One manifest after another; `perform` is the worker's performer.

    What changes while a manifest is on its way raises the generation's revision, and settling
    plans the next seal; so one seal covers any number of changes. `signer`, if there is one, signs
    each.
    """

    blobs: BlobStore
    catalog: CatalogReader
    now: Callable[[], datetime]
    random: Callable[[], float]
    signer: Signer | None = None

    async def perform(self, job: Job) -> Settle:
        """Writes the manifest as the generation stands now; a failing bucket is an outcome."""
        with self.catalog.view() as tables:
            generation = tables.generations.load_key(job.subject)
        assert generation is not None  # rows are never deleted under a claimed job
        try:
            await put_manifest(self.blobs, generation, self.signer)
        except BucketError as error:
            return self._settle_failed(job, str(error))
        return self._settle_sealed(job, generation.revision)

    def _settle_sealed(self, job: Job, revision: int) -> Settle:
        def settle(tables: Tables) -> Settled:
            now = self.now()
            tables.jobs.finish(job, JobState.COMPLETED, now=now)
            tables.generations.seal(job.subject, revision)
            generation = tables.generations.load_key(job.subject)
            assert generation is not None
            keep(tables, generation, generation, now=now)
            says = {"provider": generation.provider, "generation": generation.id}
            return Settled(outcome="sealed", says={**says, "revision": revision})

        return settle

    def _settle_failed(self, job: Job, reason: str) -> Settle:
        now = self.now()
        run_at = now + timedelta(seconds=backoff_seconds(job.attempts, self.random()))

        def settle(tables: Tables) -> Settled:
            tables.jobs.finish(job, JobState.SCHEDULED, reason=reason, run_at=run_at, now=now)
            return Settled(outcome="retry", says={"reason": reason})

        return settle


async def put_manifest(blobs: BlobStore, generation: Generation, signer: Signer | None) -> None:
    """Writes a generation's manifest, signed if anybody signs; raises BucketError."""
    text = manifest.render(generation)
    await blobs.put(
        manifest_key(generation.provider, generation.id),
        signer.sign(text) if signer else text,
        media_type="application/json",
        metadata={},
        replace=True,
    )
