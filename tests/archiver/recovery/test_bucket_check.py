"""A bucket listed beside the rows: what it lacks, and what it has that nobody knows."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from archiver.blobs.folder import FolderBlobs
from archiver.catalog import Catalog, CatalogReader
from archiver.catalog.fixity import Fixity, Stored
from archiver.keys import blob_key
from archiver.query import parse
from archiver.recovery import bucket_check as room
from archiver.recovery.audit import EmptyBucketError
from archiver.recovery.bucket_check import bring_back, compare
from archiver.search import search
from tests.archiver.recovery.stock import Piece, delete, keep_archived, pieces, stock
from tests.clocks import NOON

COUNT = 120
*MADE, LATE = sorted(
    pieces(COUNT + 1, "http://127.0.0.1", at=NOON), key=lambda piece: piece.asset.sha256
)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that more than one is needed."""
    monkeypatch.setattr(room, "_PAGE", 50)
    monkeypatch.setattr(room, "_PORTION", 3)


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of many objects, all where they should be."""
    folder = tmp_path_factory.mktemp("stocked")
    stock(folder / "catalog.db", folder / "bucket", MADE, heard_at=NOON)
    return folder


@pytest.fixture
def folder(tmp_path: Path, stocked: Path) -> Path:
    """A copy of it, to do harm to."""
    return shutil.copytree(stocked, tmp_path / "archive")


@pytest.fixture
def blobs(folder: Path) -> FolderBlobs:
    return FolderBlobs(folder / "bucket")


@pytest.fixture
def reader(folder: Path) -> CatalogReader:
    return CatalogReader(folder / "catalog.db")


@pytest.fixture
async def catalog(folder: Path) -> AsyncIterator[Catalog]:
    catalog = Catalog(folder / "catalog.db")
    await catalog.start()
    yield catalog
    await catalog.close()


def place(folder: Path, piece: Piece) -> Path:
    return folder / "bucket" / piece.asset.blob_key


def put(folder: Path, key: str) -> None:
    """An object that nobody asked for."""
    path = folder / "bucket" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"anything")


async def test_both_sides_are_told_exactly(
    folder: Path, blobs: FolderBlobs, reader: CatalogReader
) -> None:
    """Whatever is gone and whatever is too much, at either end and in between."""
    by_digest = sorted(MADE, key=lambda piece: piece.asset.sha256)
    gone = [by_digest[0], by_digest[-1], *Random(1).sample(by_digest[1:-1], 9)]
    for piece in gone:
        delete(place(folder, piece))
    strange = [blob_key(bytes([first]) * 32, "png") for first in (0, 90, 255)]
    strange += ["blobs/sha256/zz/nobody.png", "blobs/notes.txt"]
    for key in strange:
        put(folder, key)
    listed: list[int] = []
    compared = await compare(blobs, reader, progress=listed.append)

    assert {one.sha256 for one in compared.missing} == {piece.asset.sha256 for piece in gone}
    assert (sorted(compared.named), compared.orphans) == (sorted(strange), len(strange))
    assert sum(listed) == compared.listed == COUNT - len(gone) + len(strange)


async def test_all_is_well_where_it_is(blobs: FolderBlobs, reader: CatalogReader) -> None:
    """Nothing is missing, and nothing too much."""
    compared = await compare(blobs, reader)
    assert (compared.missing, compared.orphans, compared.listed) == ((), 0, COUNT)


async def test_what_comes_meanwhile_is_no_orphan(
    folder: Path, blobs: FolderBlobs, reader: CatalogReader, catalog: Catalog
) -> None:
    """Bytes are in the bucket before their row, so both are looked at once more."""
    put(folder, LATE.asset.blob_key)

    class Busy:
        """The bucket of a service that goes on."""

        async def list(self, prefix: str) -> AsyncIterator[str]:
            async for key in blobs.list(prefix):
                yield key
            await catalog.write(lambda tables: keep_archived(tables, LATE, heard_at=NOON))

    compared = await compare(Busy(), reader)  # type: ignore[arg-type]
    assert (compared.missing, compared.orphans) == ((), 0)


async def test_what_a_listing_has_passed_is_not_missing(
    folder: Path, blobs: FolderBlobs, reader: CatalogReader, catalog: Catalog
) -> None:
    """An object may come where the listing has been already."""

    class Busy:
        """The bucket of a service that archives one more as it is being listed."""

        head = blobs.head

        async def list(self, prefix: str) -> AsyncIterator[str]:
            keys = [key async for key in blobs.list(prefix)]
            put(folder, LATE.asset.blob_key)
            await catalog.write(lambda tables: keep_archived(tables, LATE, heard_at=NOON))
            for key in keys:
                yield key

    compared = await compare(Busy(), reader)  # type: ignore[arg-type]
    assert (compared.missing, compared.orphans) == ((), 0)


async def test_an_empty_bucket_is_rather_the_wrong_one(
    tmp_path: Path, folder: Path, reader: CatalogReader
) -> None:
    """And nothing is said of its objects."""
    with pytest.raises(EmptyBucketError, match=r"bucket\.url"):
        await compare(FolderBlobs(tmp_path / "elsewhere"), reader)


async def test_what_cannot_be_brought_back_is_marked(
    folder: Path, blobs: FolderBlobs, reader: CatalogReader, catalog: Catalog
) -> None:
    """And found by that; what could be says when."""
    gone = MADE[:7]
    for piece in gone:
        delete(place(folder, piece))
    back = {piece.asset.sha256 for piece in gone[:4]}

    async def mend(stored: Stored) -> str:
        return "" if stored.sha256 in back else "no link to it lives any more"

    compared = await compare(blobs, reader)
    asked = {"mend": mend, "now": lambda: NOON, "stop": asyncio.Event()}
    assert await bring_back(catalog, compared.missing, **asked) == len(back)
    with reader.view() as tables:
        checked = tables.fixity.of([piece.asset.sha256 for piece in gone])
        found = search(tables, parse("is:damaged", now=NOON), limit=99)
    outcomes = {digest: one.outcome for digest, one in checked.items()}
    assert outcomes == {
        piece.asset.sha256: Fixity.OK if piece.asset.sha256 in back else Fixity.MISSING
        for piece in gone
    }
    names = {hit.card.generation_id for hit in found.hits}
    assert names == {piece.generation_id for piece in gone[4:]}


async def test_bringing_back_can_be_stopped(
    folder: Path, blobs: FolderBlobs, reader: CatalogReader, catalog: Catalog
) -> None:
    """What was done by then is noted."""
    for piece in MADE[:9]:
        delete(place(folder, piece))
    stop = asyncio.Event()
    mended: list[bytes] = []

    async def mend(stored: Stored) -> str:
        mended.append(stored.sha256)
        if len(mended) == 5:
            stop.set()
        return "no link"

    compared = await compare(blobs, reader)
    await bring_back(catalog, compared.missing, mend=mend, now=lambda: NOON, stop=stop)
    with reader.view() as tables:
        assert tables.fixity.count_amiss() == {"missing": 5}
