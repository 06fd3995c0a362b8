"""Deriving: from the picture in the bucket to its thumbnail beside it, and a row that says so."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image

from archiver.blobs.folder import FolderBlobs
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.jobs import JobRow
from archiver.derive import MAX_BYTES, Derive
from archiver.deriving.pool import MODULE, Pool
from archiver.errors import LeaseLostError
from archiver.keys import blob_key, thumb_key
from archiver.ledger import keep
from archiver.lifecycle import archive
from archiver.models import Asset, Generation, Origin
from archiver.previews import Preview
from archiver.work import Job, JobKind
from tests.archiver.generated import linked
from tests.archiver.heard import asset
from tests.archiver.scenes import encoded, scene
from tests.clocks import FrozenClock

PICTURE = encoded(scene(1), "JPEG")
DIGEST = bytes(range(32))
NOWHERE = "tests.archiver.deriving.nowhere"


@dataclass(frozen=True, kw_only=True)
class Deriving:
    """A catalog, a bucket, and the performer between them."""

    catalog: Catalog
    blobs: FolderBlobs
    folder: Path
    derive: Derive
    clock: FrozenClock

    async def archived(self, name: str, saved: Asset, picture: bytes | None = PICTURE) -> int:
        """A generation whose one slot has that asset, and the bytes of it; the slot's number."""
        if picture is not None:
            await self.blobs.put(
                saved.blob_key, picture, media_type=saved.media_type, metadata={}, replace=True
            )

        def work(tables: Tables) -> int:
            before = tables.generations.load("doitong", name)
            after = archive(before or linked(name), 0, saved)
            number = keep(tables, before, after, now=self.clock()).slots[0].number
            assert number is not None
            return number

        return await self.catalog.write(work)

    async def claim(self) -> Job:
        def work(tables: Tables) -> list[Job]:
            tables.jobs.promote(now=self.clock())
            return tables.jobs.claim(
                JobKind.DERIVE, limit=1, worker="w", lease_seconds=30, now=self.clock()
            )

        (job,) = await self.catalog.write(work)
        return job

    async def perform(self) -> str:
        """One job, and what it came to."""
        settle = await self.derive.perform(await self.claim())
        return (await self.catalog.write(settle)).outcome

    async def job(self, number: int) -> tuple[str, str]:
        """How that slot's job stands, and why."""
        row: JobRow | None = await self.catalog.write(
            lambda tables: tables.jobs.of(JobKind.DERIVE, number)
        )
        assert row is not None
        return row.state, row.reason

    async def preview(self, sha256: bytes = DIGEST) -> Preview | None:
        return await self.catalog.write(lambda tables: tables.previews.of([sha256]).get(sha256))


def saved(sha256: bytes = DIGEST, origin: Origin = Origin.PROVIDER) -> Asset:
    """An asset whose bytes are where they should be."""
    key = blob_key(sha256, "jpg")
    return replace(asset(origin), sha256=sha256, blob_key=key, media_type="image/jpeg")


@pytest.fixture
async def deriving(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    catalog: Catalog,
    reader: CatalogReader,
    clock: FrozenClock,
) -> AsyncIterator[Deriving]:
    """Without any child, where none is asked for: whatever started one would fail."""
    pool = Pool(children=1, module=getattr(request, "param", NOWHERE))
    folder = tmp_path / "bucket"
    blobs = FolderBlobs(folder)
    derive = Derive(
        blobs=blobs,
        catalog=reader,
        pool=pool,
        spool=tmp_path / "spool" / "derive",
        now=clock,
        random=lambda: 0.5,
    )
    yield Deriving(catalog=catalog, blobs=blobs, folder=folder, derive=derive, clock=clock)
    await pool.close()


with_children = pytest.mark.parametrize("deriving", [MODULE], indirect=True)


@with_children
async def test_a_thumbnail_lies_in_the_bucket_and_a_row_says_so(deriving: Deriving) -> None:
    """And a hash of the picture; the job is done, and nothing is left on the way."""
    number = await deriving.archived("1", saved())
    assert await deriving.perform() == "derived"
    assert await deriving.job(number) == ("completed", "")
    head = await deriving.blobs.head(thumb_key(DIGEST))
    assert head is not None
    assert (head.media_type, head.metadata) == ("image/webp", {})
    image = Image.open(io.BytesIO((deriving.folder / thumb_key(DIGEST)).read_bytes()))
    preview = await deriving.preview()
    assert preview is not None
    assert image.size == (preview.width, preview.height) == (320, 240)
    assert preview.phash is not None
    assert [*deriving.derive.spool.iterdir()] == []


@with_children
async def test_what_cannot_be_derived_is_refused_for_good(deriving: Deriving) -> None:
    """The reason is kept with the digest and with the job; hearing of it again changes nothing."""
    number = await deriving.archived("1", saved(), PICTURE[:-2000])
    assert await deriving.perform() == "not derived"
    state, reason = await deriving.job(number)
    assert (state, await deriving.preview()) == ("discarded", Preview(reason=reason))
    assert "truncated" in reason
    await deriving.archived("1", saved())
    assert await deriving.job(number) == (state, reason)
    assert await deriving.blobs.head(thumb_key(DIGEST)) is None


@pytest.mark.parametrize(
    ("preview", "outcome"),
    [(Preview(phash=7, width=3, height=2), "derived"), (Preview(reason="a bomb"), "not derived")],
)
async def test_the_same_bytes_are_derived_once(
    deriving: Deriving, preview: Preview, outcome: str
) -> None:
    """Another slot's job finds the row and is done, without the bucket and without a child."""
    await deriving.catalog.write(lambda tables: tables.previews.put(DIGEST, preview))
    number = await deriving.archived("1", saved(), None)
    assert await deriving.perform() == outcome
    state = "discarded" if preview.reason else "completed"
    assert await deriving.job(number) == (state, preview.reason)
    assert await deriving.preview() == preview


async def test_what_is_too_large_is_not_even_read(deriving: Deriving) -> None:
    """It would pass through the disk, and the memory of the one who decodes it."""
    large = replace(saved(), size_bytes=MAX_BYTES + 1)
    number = await deriving.archived("1", large, None)
    assert await deriving.perform() == "not derived"
    assert await deriving.job(number) == ("discarded", "it has more than 100,000,000 bytes")


@with_children
async def test_a_failing_bucket_is_tried_again(deriving: Deriving) -> None:
    """Later and later, for as long as it takes; no picture is to blame for it."""
    number = await deriving.archived("1", saved(), None)
    for attempts in (1, 2):
        job = await deriving.claim()
        assert job.attempts == attempts
        settled = await deriving.catalog.write(await deriving.derive.perform(job))
        state, reason = await deriving.job(number)
        assert (settled.outcome, state, await deriving.preview()) == ("retry", "scheduled", None)
        assert saved().blob_key in reason
        deriving.clock.advance(hours=1)
    await deriving.archived("1", saved())
    assert await deriving.perform() == "derived"


async def test_without_a_child_it_is_tried_again(deriving: Deriving) -> None:
    """A machine that starts no process is no fault of the picture's."""
    number = await deriving.archived("1", saved())
    assert await deriving.perform() == "retry"
    assert await deriving.job(number) == (
        "scheduled",
        "no process that decodes pictures can be started; the log says why",
    )


async def test_without_room_it_is_tried_again(deriving: Deriving) -> None:
    """The reason names the folder."""
    deriving.derive.spool.parent.write_text("a file where a folder should be")
    number = await deriving.archived("1", saved())
    assert await deriving.perform() == "retry"
    state, reason = await deriving.job(number)
    assert (state, reason.partition(" cannot")[0]) == ("scheduled", str(deriving.derive.spool))


async def test_an_original_that_came_meanwhile_is_derived_next(deriving: Deriving) -> None:
    """What was drawn has its preview all the same: it was wanted when the job was claimed."""
    drawn, other = saved(origin=Origin.FALLBACK), saved(bytes(32))

    def know_both(tables: Tables) -> None:
        for known in (drawn, other):
            tables.previews.put(known.sha256, Preview(phash=1, width=1, height=1))

    await deriving.catalog.write(know_both)
    number = await deriving.archived("1", drawn)
    job = await deriving.claim()
    await deriving.archived("1", other)
    settle = await deriving.derive.perform(job)
    assert (await deriving.catalog.write(settle)).outcome == "derived"
    assert await deriving.job(number) == ("available", "")
    assert (await deriving.claim()).target == other.sha256.hex()


async def test_a_stale_outcome_changes_nothing(deriving: Deriving) -> None:
    """Whoever lost the lease meanwhile writes no row."""
    number = await deriving.archived("1", replace(saved(), size_bytes=MAX_BYTES + 1), None)
    stale = await deriving.derive.perform(await deriving.claim())
    deriving.clock.advance(seconds=31)
    await deriving.catalog.write(lambda tables: tables.jobs.recover(now=deriving.clock()))
    with pytest.raises(LeaseLostError):
        await deriving.catalog.write(stale)
    assert await deriving.preview() is None
    assert await deriving.job(number) == ("available", "its worker died")


async def test_nothing_is_written_of_it_in_the_manifest(deriving: Deriving) -> None:
    """What is derived can be derived again: no revision, no seal."""

    def revision(tables: Tables) -> Generation | None:
        return tables.generations.load("doitong", "1")

    await deriving.catalog.write(lambda tables: tables.previews.put(DIGEST, Preview(reason="x")))
    await deriving.archived("1", saved())
    before = await deriving.catalog.write(revision)
    await deriving.perform()
    assert before == await deriving.catalog.write(revision)
