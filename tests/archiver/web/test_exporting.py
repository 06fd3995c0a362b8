"""Exports over HTTP: whole, or visibly cut off; never more than somebody takes."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from aiohttp import ClientPayloadError, web
from aiohttp.test_utils import TestClient, TestServer

from archiver import clock
from archiver.catalog import CatalogReader
from archiver.export import Format, beginning
from archiver.exporting import pages as paging
from archiver.web import exporting
from archiver.web.answers import problems, revalidated
from archiver.web.exporting import MOST_EXPORTS, ExportApi
from tests.archiver.exporting.shelf import Shelf, fill, opened
from tests.receiver.wire import LAST_CHUNK, Wire, connected, head
from tests.service import eventually

Client = TestClient[web.Request, web.Application]
EXPORT = "/api/v1/export"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an archive that nobody may touch."""
    folder = tmp_path_factory.mktemp("shelf")
    asyncio.run(fill(folder))
    return folder


@pytest.fixture
async def shelf(filled: Path, tmp_path: Path) -> AsyncIterator[Shelf]:
    """A slot of every kind."""
    async with opened(filled, tmp_path) as shelf:
        yield shelf


class Reader(CatalogReader):
    """One that can be made to wait, and counts."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.pages = 0
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = asyncio.Event()

    async def read(self, work):  # type: ignore[no-untyped-def]
        self.waiting.set()
        await self.open.wait()
        self.pages += 1
        return await super().read(work)


@pytest.fixture
def reader(shelf: Shelf) -> Reader:
    """What the exports read."""
    return Reader(shelf.folder / "catalog.db")


@pytest.fixture
async def client(shelf: Shelf, reader: Reader) -> AsyncIterator[Client]:
    """Whoever asks."""
    app = web.Application(middlewares=[problems, revalidated])
    spool_dir = shelf.folder / "spool"
    app.add_routes(ExportApi(reader, shelf.blobs, spool_dir=spool_dir, now=clock.now).routes())
    server = TestServer(app)
    async with TestClient(server) as speaking:
        yield speaking
        await server.close()
    reader.close()


async def exported(client: Client, query: str = "") -> bytes:
    """All of an export."""
    async with client.get(f"{EXPORT}?{query}") as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


@pytest.mark.parametrize("query", ["", "format=ndjson", "sort=newest&unknown=1"])
async def test_lines_of_everything(client: Client, query: str) -> None:
    """One for each slot, the newest first, as a download that nobody keeps."""
    async with client.get(f"{EXPORT}?{query}") as answer:
        lines = (await answer.read()).splitlines()
        headers = dict(answer.headers)
    assert [json.loads(line)["number"] for line in lines] == [6, 5, 4, 3, 2, 1]
    assert headers["Content-Type"] == "application/x-ndjson"
    assert headers["Content-Disposition"] == 'attachment; filename="holdfast-export.ndjson"'
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert headers["Transfer-Encoding"] == "chunked"


async def test_a_query_and_its_order_hold(client: Client) -> None:
    """As they do for a search."""
    lines = (await exported(client, "q=is:saved&sort=oldest")).splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["whole", "other", "gone", "spoilt"]


async def test_a_table_has_a_header(client: Client) -> None:
    """Also one of nothing."""
    table = await exported(client, "format=csv")
    assert table.startswith(beginning(Format.CSV))
    assert b",'=a fox," in table
    assert await exported(client, "format=csv&q=wolf") == beginning(Format.CSV)
    assert await exported(client, "q=wolf") == b""


async def test_a_zip_can_be_opened(client: Client) -> None:
    """With what is whole in it, and an index of all."""
    packed = ZipFile(io.BytesIO(await exported(client, "format=zip")))
    assert packed.testzip() is None
    rows = [json.loads(line) for line in packed.read("index.ndjson").splitlines()]
    assert [row["file"] for row in rows] == [None] * 4 + ["pictures/2.jpg", "pictures/1.jpg"]


@pytest.mark.parametrize("query", ["format=xml", "format=", "q=steps:many", "sort=best"])
async def test_what_cannot_be_is_refused(client: Client, query: str) -> None:
    """400, before anything is read."""
    async with client.get(f"{EXPORT}?{query}") as answer:
        assert (answer.status, answer.content_type) == (400, "application/problem+json")


async def test_head_says_what_would_come(client: Client, reader: Reader) -> None:
    """And no more than one page is read for it."""
    async with client.head(f"{EXPORT}?format=zip") as answer:
        assert (answer.status, answer.content_type) == (200, "application/zip")
    assert reader.pages <= 1


async def test_few_run_at_once(client: Client, reader: Reader) -> None:
    """One more is told to come again; and when one has ended, it may."""
    reader.open.clear()
    running = []
    for _ in range(MOST_EXPORTS):
        reader.waiting.clear()
        running.append(asyncio.create_task(exported(client)))
        await reader.waiting.wait()
    async with client.get(EXPORT) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    reader.open.set()
    assert all(len(it.splitlines()) == 6 for it in await asyncio.gather(*running))
    assert len((await exported(client)).splitlines()) == 6


async def test_a_fault_cuts_it_off(
    client: Client, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an export must not pass for a whole one."""
    monkeypatch.setattr(paging, "PAGE_SLOTS", 2)
    found, pages = [], paging.search

    def failing(*args, **kwargs):  # type: ignore[no-untyped-def]
        found.append(pages(*args, **kwargs))
        if len(found) == 2:
            raise OSError("the disk is gone")
        return found[-1]

    monkeypatch.setattr(paging, "search", failing)
    with pytest.raises(ClientPayloadError):
        await exported(client)


async def test_a_fault_at_once_is_told(client: Client, shelf: Shelf) -> None:
    """As long as nothing is sent, it can be said what is wrong."""
    await shelf.archive.catalog.write(lambda tables: tables.connection.execute("DROP TABLE cards"))
    for form in Format:
        async with client.get(f"{EXPORT}?format={form}") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


MANY = 30


@pytest.fixture
async def much(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far more than the buffers between two ends hold, in as many pages."""
    monkeypatch.setattr(paging, "PAGE_SLOTS", 1)
    for number in range(MANY):
        await shelf.archive.hear(f"much{number}", "x" * 500_000)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for one export only."""
    monkeypatch.setattr(exporting, "MOST_EXPORTS", 1)


def export_over(wire: Wire) -> Coroutine[Any, Any, None]:
    """Asks for everything, and takes nothing yet."""
    return wire.send(head(method=b"GET", path=b"/api/v1/export?q=xxx*"))


async def place_free(client: Client) -> bool | None:
    """Whether an export is let in again; no line of it is read."""
    async with client.head(f"{EXPORT}?q=wolf") as answer:
        return True if answer.status == 200 else None


@pytest.mark.usefixtures("much", "alone")
async def test_who_goes_away_stops_it(client: Client, reader: Reader) -> None:
    """Nothing is read that nobody takes, and its place is free again."""
    async with connected(client.port) as wire:
        await export_over(wire)
        await wire.reader.readuntil(b"xxx")
    assert await eventually(lambda: place_free(client))
    assert reader.pages < MANY


@pytest.mark.usefixtures("much", "alone")
async def test_who_takes_nothing_is_not_waited_for(
    client: Client, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is more read meanwhile than fits between the two, and what came is no whole answer."""
    monkeypatch.setattr(exporting, "SILENCE_SECONDS", 0.2)
    async with connected(client.port) as wire:
        await export_over(wire)
        await wire.reader.readuntil(b"xxx")
        assert await eventually(lambda: place_free(client))
        assert reader.pages < MANY
        assert not (await wire.rest()).endswith(LAST_CHUNK)
