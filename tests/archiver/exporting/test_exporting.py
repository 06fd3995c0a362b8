"""Exports: every slot once, no picture twice in memory, and nothing that was lost hidden."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest

from archiver import clock, manifest
from archiver import search as searching
from archiver.blobs import BlobStore
from archiver.blobs.folder import FolderBlobs
from archiver.catalog import walks
from archiver.errors import BucketError
from archiver.export import Format
from archiver.exporting import pages as paging
from archiver.exporting.pages import Found, FoundPage, lined, pages
from archiver.exporting.pictures import AbsentError, Tally, bytes_of
from archiver.exporting.zipped import zipped
from archiver.query import parse
from archiver.sqlite import begin_log_anew, open_writer
from tests.archiver.exporting.shelf import OTHER, WHOLE, Shelf


async def found(shelf: Shelf, text: str = "", cursor: str | None = None) -> list[Found]:
    """All that a query finds."""
    query = parse(text, now=clock.now())
    return [it async for page in pages(shelf.reader, query, cursor=cursor) for it in page.found]


async def packed(
    shelf: Shelf, text: str = "", blobs: BlobStore | None = None
) -> tuple[ZipFile, Tally]:
    """All of it as a ZIP, read again."""
    tally = Tally()
    pieces = zipped(
        pages(shelf.reader, parse(text, now=clock.now())),
        blobs or shelf.blobs,
        spool_dir=shelf.folder / "spool",
        at=clock.now(),
        tally=tally,
    )
    return ZipFile(io.BytesIO(b"".join([piece async for piece in pieces]))), tally


def index_of(packed_up: ZipFile) -> dict[str, dict[str, Any]]:
    """The lines of its index, by the generations' ids."""
    lines = packed_up.read("index.ndjson").splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


@pytest.mark.parametrize("size", [1, 2, 3, 500])
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ["lost", "flagged", "spoilt", "gone", "other", "whole"]),
        ("sort:oldest is:saved", ["whole", "other", "gone", "spoilt"]),
        ("sort:bytes is:saved", ["spoilt", "other", "gone", "whole"]),
        ("sort:relevance whole", ["whole"]),
        ("archived:>=2000 bytes:>=0", ["flagged", "spoilt", "gone", "other", "whole"]),
        ("wolf", []),
    ],
)
async def test_every_slot_is_met_once(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, size: int, text: str, wanted: list[str]
) -> None:
    """In the order that was asked for, however large the pages are."""
    monkeypatch.setattr(paging, "PAGE_SLOTS", size)
    assert [it.generation.id for it in await found(shelf, text)] == wanted


async def test_pages_that_run_out_of_time_are_gone_on_from(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where hardly anything fits, a page may be empty and yet not be the last."""
    monkeypatch.setattr(searching, "_MOST_SCANNED", 1)
    monkeypatch.setattr(walks, "_FIRST_STEP", 1)
    query = parse("created:>=2000 id:1", now=clock.now())
    reading = [page async for page in pages(shelf.reader, query)]
    assert [it.number for page in reading for it in page.found] == [1]
    query = parse("bytes:>=0", now=clock.now())
    reading = [page async for page in pages(shelf.reader, query)]
    assert [len(page.found) for page in reading[:2]] == [0, 1]
    assert len(await found(shelf, "bytes:>=0")) == 5


async def test_it_goes_on_from_a_cursor(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was added meanwhile."""
    monkeypatch.setattr(paging, "PAGE_SLOTS", 2)
    reading = pages(shelf.reader, parse("", now=clock.now()))
    first = await anext(reading)
    await reading.aclose()
    await shelf.archive.hear("late", "a late fox")
    rest = await found(shelf, cursor=first.cursor)
    assert [it.number for it in (*first.found, *rest)] == [6, 5, 4, 3, 2, 1]


async def test_each_page_is_a_reading_of_its_own(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two of them nobody keeps the catalog's log from being begun anew."""
    monkeypatch.setattr(paging, "PAGE_SLOTS", 1)
    writer = open_writer(shelf.folder / "catalog.db", busy_seconds=0)
    async for _ in pages(shelf.reader, parse("", now=clock.now())):
        await shelf.archive.hear("late", "a late fox")
        begin_log_anew(writer)
    writer.close()


@pytest.mark.parametrize("form", [Format.NDJSON, Format.CSV])
async def test_lines_come_page_by_page(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, form: Format
) -> None:
    """The header once, and all lines after it."""
    query = parse("", now=clock.now())
    whole = [piece async for piece in lined(form, pages(shelf.reader, query))]
    monkeypatch.setattr(paging, "PAGE_SLOTS", 2)
    in_parts = [piece async for piece in lined(form, pages(shelf.reader, query))]
    assert (len(whole), len(in_parts)) == (1, 3)
    assert b"".join(in_parts) == whole[0]


async def test_a_zip_holds_pictures_and_manifests(shelf: Shelf) -> None:
    """By their archive numbers, pictures as they are, and nothing but what is whole and shown."""
    packed_up, tally = await packed(shelf)
    assert packed_up.testzip() is None
    spoilt = "pictures/4.jpg"  # begun before anybody could know
    assert sorted(packed_up.namelist()) == sorted(
        [
            "index.ndjson",
            "manifests/1.json",
            "manifests/2.json",
            "pictures/1.jpg",
            "pictures/2.jpg",
            spoilt,
        ]
    )
    assert (packed_up.read("pictures/1.jpg"), packed_up.read("pictures/2.jpg")) == (WHOLE, OTHER)
    [first, *_] = await found(shelf, "sort:oldest")
    assert packed_up.read("manifests/1.json") == manifest.render(first.generation)
    compressions = {info.filename: info.compress_type for info in packed_up.infolist()}
    assert (compressions["pictures/1.jpg"], compressions["index.ndjson"]) == (
        ZIP_STORED,
        ZIP_DEFLATED,
    )
    assert packed_up.infolist()[-1].filename == "index.ndjson"
    assert tally == Tally(slots=6, pictures=2, size_bytes=len(WHOLE) + len(OTHER), lost=2)


async def test_the_index_says_what_is_not_there(shelf: Shelf) -> None:
    """A row for every slot: its file, or why there is none."""
    packed_up, _ = await packed(shelf)
    index = index_of(packed_up)
    keys = {name: row["assets"][0]["blob_key"] for name, row in index.items() if row["assets"]}
    files = {name: row["file"] for name, row in index.items() if row["file"]}
    assert files == {"whole": "pictures/1.jpg", "other": "pictures/2.jpg"}
    absent = {name: row["absent"] for name, row in index.items() if row["absent"]}
    assert absent == {
        "gone": f"missing in the bucket: {keys['gone']}",
        "spoilt": f"damaged in the bucket: {keys['spoilt']}",
        "flagged": "not shown: flagged by the safety checker",
        "lost": f"no picture: {index['lost']['state']} ({index['lost']['reason']})",
    }


async def test_an_empty_zip_is_one(shelf: Shelf) -> None:
    """With an index of nothing."""
    packed_up, tally = await packed(shelf, "wolf")
    assert (packed_up.namelist(), packed_up.read("index.ndjson")) == (["index.ndjson"], b"")
    assert tally == Tally()


async def test_a_slot_that_is_met_again_is_packed_once(shelf: Shelf) -> None:
    """An order may change while it is walked along."""

    async def twice() -> AsyncIterator[FoundPage]:
        [whole] = await found(shelf, "whole")
        for _ in range(2):
            yield FoundPage(found=(whole,), cursor=None)

    pieces = zipped(twice(), shelf.blobs, spool_dir=shelf.folder, at=clock.now(), tally=Tally())
    packed_up = ZipFile(io.BytesIO(b"".join([piece async for piece in pieces])))
    assert packed_up.namelist() == ["pictures/1.jpg", "manifests/1.json", "index.ndjson"]


async def test_what_is_larger_than_it_was_is_not_read_to_its_end(shelf: Shelf) -> None:
    """A file that somebody let grow is damaged, and harms no ZIP."""
    [whole] = await found(shelf, "whole")
    asset = whole.slot.leading_asset
    assert asset is not None
    (shelf.folder / "bucket" / asset.blob_key).write_bytes(WHOLE * 1000)
    taken: list[bytes] = []

    async def take() -> None:
        async for piece in bytes_of(shelf.blobs, asset):
            taken.append(piece)  # noqa: PERF401  what comes before the error

    with pytest.raises(AbsentError, match="damaged"):
        await take()
    assert taken == []
    assert (await packed(shelf, "whole"))[0].testzip() is None


async def test_a_bucket_that_cannot_say_ends_an_export(shelf: Shelf) -> None:
    """It is no reason to call all its pictures lost."""

    class Down(FolderBlobs):
        async def head(self, key: str) -> Any:
            raise BucketError("the bucket is down")

    with pytest.raises(BucketError, match="down"):
        await packed(shelf, "gone", Down(shelf.folder / "bucket"))


async def test_who_stops_in_the_middle_leaves_nothing(shelf: Shelf) -> None:
    """No file is left open, nor one in the spool."""
    pieces = zipped(
        pages(shelf.reader, parse("", now=clock.now())),
        shelf.blobs,
        spool_dir=shelf.folder / "spool",
        at=clock.now(),
        tally=Tally(),
    )
    async with aclosing(pieces):
        await anext(pieces)
    assert list((shelf.folder / "spool").iterdir()) == []


async def test_a_large_picture_passes_in_pieces(shelf: Shelf) -> None:
    """Of 24 MiB only a few are ever in memory."""
    large = WHOLE[:-2] + bytes(24 * 2**20) + b"\xff\xd9"
    await shelf.archive.hear("large", "a large fox")
    await shelf.archive.save("large", large)
    [it] = await found(shelf, "large")
    size_bytes = 0

    async def once() -> AsyncIterator[FoundPage]:
        yield FoundPage(found=(it,), cursor=None)

    tracemalloc.start()
    pieces = zipped(once(), shelf.blobs, spool_dir=shelf.folder, at=clock.now(), tally=Tally())
    async for piece in pieces:
        size_bytes += len(piece)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size_bytes > len(large)
    assert peak_bytes < 6 * 2**20


async def test_a_picture_of_more_than_four_gigabytes_has_its_place(shelf: Shelf) -> None:
    """Its size is known before it comes, and so is what the ZIP has to be able to say."""
    [it] = await found(shelf, "whole")
    asset = it.slot.leading_asset
    assert asset is not None
    huge = replace(asset, size_bytes=5 * 2**30)
    slot = replace(it.slot, assets=(huge,))
    told = Found(hit=it.hit, generation=replace(it.generation, slots=(slot,)))

    async def once() -> AsyncIterator[FoundPage]:
        yield FoundPage(found=(told,), cursor=None)

    pieces = zipped(once(), shelf.blobs, spool_dir=shelf.folder, at=clock.now(), tally=Tally())
    whole = b"".join([piece async for piece in pieces])
    packed_up = ZipFile(io.BytesIO(whole))
    assert packed_up.read("pictures/1.jpg") == WHOLE
    assert packed_up.getinfo("pictures/1.jpg").extract_version == 45
