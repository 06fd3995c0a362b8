"""Sealing: the manifest in the bucket follows what is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from archiver import manifest
from archiver.blobs.opening import open_blob_store
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.errors import LeaseLostError
from archiver.keys import manifest_key
from archiver.ledger import keep
from archiver.lifecycle import archive
from archiver.models import Generation, GenerationParams, Origin
from archiver.seal import Seal
from archiver.signing import Signer, trust
from archiver.work import Job, JobKind
from tests.archiver.generated import linked
from tests.archiver.heard import asset
from tests.archiver.test_signing import private_key
from tests.clocks import FrozenClock


@dataclass(frozen=True, kw_only=True)
class Sealing:
    """A catalog with one archived generation, a bucket, and the performer between them."""

    catalog: Catalog
    folder: Path
    seal: Seal
    clock: FrozenClock

    async def change(self, change: Callable[[Generation], Generation]) -> None:
        """Something happens to the generation."""

        def work(tables: Tables) -> None:
            before = tables.generations.load("doitong", "1")
            keep(tables, before, change(before or linked("1")), now=self.clock())

        await self.catalog.write(work)

    async def claim(self) -> Job:
        def work(tables: Tables) -> list[Job]:
            tables.jobs.promote(now=self.clock())
            return tables.jobs.claim(
                JobKind.SEAL, limit=9, worker="w", lease_seconds=30, now=self.clock()
            )

        (job,) = await self.catalog.write(work)
        return job

    async def now(self) -> tuple[str, str, int, int]:
        """The job's state and reason, and the generation's revision and sealed one."""

        def work(tables: Tables) -> tuple[str, str, int, int]:
            generation = tables.generations.load("doitong", "1")
            assert generation is not None
            assert generation.key is not None
            job = tables.jobs.of(JobKind.SEAL, generation.key)
            assert job is not None
            return job.state, job.reason, generation.revision, generation.sealed_revision

        return await self.catalog.write(work)

    def document(self) -> dict[str, Any]:
        """What lies in the bucket."""
        text = (self.folder / manifest_key("doitong", "1")).read_text()
        return dict(json.loads(text))


@pytest.fixture
async def sealing(
    tmp_path: Path, catalog: Catalog, reader: CatalogReader, clock: FrozenClock
) -> Sealing:
    folder = tmp_path / "bucket"
    blobs = open_blob_store(folder.as_uri())
    seal = Seal(blobs=blobs, catalog=reader, now=clock, random=lambda: 0.5)
    sealing = Sealing(catalog=catalog, folder=folder, seal=seal, clock=clock)
    await sealing.change(lambda known: archive(known, 0, asset()))
    return sealing


def asked_for(prompt: str) -> Callable[[Generation], Generation]:
    """The change of hearing the request at last."""
    return lambda known: replace(known, params=GenerationParams(prompt=prompt))


async def test_the_manifest_is_written_and_noted(sealing: Sealing, reader: CatalogReader) -> None:
    """Afterwards the bucket holds the manifest of the revision that the catalog calls sealed."""
    settle = await sealing.seal.perform(await sealing.claim())
    settled = await sealing.catalog.write(settle)
    assert (settled.outcome, dict(settled.says)["revision"]) == ("sealed", 1)
    assert await sealing.now() == ("completed", "", 1, 1)
    with reader.view() as tables:
        generation = tables.generations.load("doitong", "1")
    assert generation is not None
    assert sealing.document() == json.loads(manifest.render(generation))
    assert sealing.document()["revision"] == 1


async def test_what_changes_before_the_seal_is_in_it(sealing: Sealing) -> None:
    """Any number of changes cost one manifest."""
    for prompt in ("a cat", "a dog", "a cow"):
        await sealing.change(asked_for(prompt))
    job = await sealing.claim()
    await sealing.catalog.write(await sealing.seal.perform(job))
    assert await sealing.now() == ("completed", "", 4, 4)
    assert sealing.document()["params"] == {"prompt": "a cow"}


async def test_what_changes_during_the_seal_is_sealed_next(sealing: Sealing) -> None:
    """The manifest on its way is noted for what it shows, and the next one is planned."""
    settle = await sealing.seal.perform(await sealing.claim())
    await sealing.change(lambda known: archive(known, 0, asset(Origin.FALLBACK)))
    await sealing.catalog.write(settle)
    assert await sealing.now() == ("available", "", 2, 1)
    await sealing.catalog.write(await sealing.seal.perform(await sealing.claim()))
    assert await sealing.now() == ("completed", "", 2, 2)
    assert len(sealing.document()["slots"][0]["assets"]) == 2


async def test_a_failing_bucket_is_tried_again(sealing: Sealing) -> None:
    """Our own trouble is never the end of a seal; the reason is kept meanwhile."""
    sealing.folder.write_text("a file where the bucket should be")
    for attempt in (1, 2):
        job = await sealing.claim()
        assert job.attempts == attempt
        settled = await sealing.catalog.write(await sealing.seal.perform(job))
        state, reason, *revisions = await sealing.now()
        assert (settled.outcome, state, revisions) == ("retry", "scheduled", [1, 0])
        assert str(sealing.folder) in reason
        sealing.clock.advance(hours=1)
    sealing.folder.unlink()
    await sealing.catalog.write(await sealing.seal.perform(await sealing.claim()))
    assert await sealing.now() == ("completed", "", 1, 1)


async def test_a_stale_seal_notes_nothing(sealing: Sealing) -> None:
    """A manifest written under a lost lease is written, but only the lease's holder says so."""
    stale = await sealing.seal.perform(await sealing.claim())
    sealing.clock.advance(seconds=31)
    await sealing.catalog.write(lambda tables: tables.jobs.recover(now=sealing.clock()))
    with pytest.raises(LeaseLostError):
        await sealing.catalog.write(stale)
    assert await sealing.now() == ("available", "its worker died", 1, 0)


async def test_a_manifest_is_signed_by_who_signs(sealing: Sealing) -> None:
    """Within the one object that a seal puts, and it says the same."""
    signer = Signer(private_key())
    signed = replace(sealing, seal=replace(sealing.seal, signer=signer))
    await signed.catalog.write(await signed.seal.perform(await signed.claim()))
    text = (sealing.folder / manifest_key("doitong", "1")).read_bytes()
    opened = trust([], signer, required=True).open(text)
    assert json.loads(opened.document)["id"] == "1"
    assert opened.signed_by == signer.key_id
