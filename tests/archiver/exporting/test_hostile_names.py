"""What strangers call things never becomes a place in a ZIP or a folder, nor a line of a header."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application
from hypothesis import given
from hypothesis import strategies as st

from archiver import clock
from archiver.blobs.folder import FolderBlobs
from archiver.blobs.s3 import _quoted
from archiver.catalog import CatalogReader
from archiver.exporting import zipped as packing
from archiver.exporting.pages import Found, pages
from archiver.exporting.pictures import Tally
from archiver.exporting.zipped import zipped
from archiver.query import parse
from archiver.web.api import ArchiveApi
from archiver.web.exporting import ExportApi
from archiver.web.searching import SearchApi
from receiver.commands.export_folder import write_folder
from tests.archiver.filled import filling
from tests.archiver.media_bodies import JPEG

NAMES = [
    "../../../../evil", "/etc/evil", "..\\..\\evil.exe", "C:\\evil", "a/../../b", "..",
    "con", "evil\r\nX-Evil: 1", 'evil"; filename="evil.exe', "evil\0.png", "~/.ssh/authorized_keys",
    "\u202egnp.exe", "-rf", "index.ndjson", "$(touch evil)", "é" * 300,
]  # fmt: skip
WELL_FORMED = re.compile(r"pictures/[0-9]+\.[a-z0-9]{1,5}|manifests/[0-9]+\.json|index\.ndjson")


@pytest.fixture
async def hostile(tmp_path: Path) -> Path:
    """An archive in which everything has such a name."""
    folder = tmp_path / "archive"
    folder.mkdir()
    async with filling(folder) as archive:
        for place, name in enumerate(NAMES):
            await archive.hear(name, name, service=name, track_id=name)
            await archive.save(name, JPEG[:-2] + b"%d" % place + b"\xff\xd9")
    return folder


@pytest.fixture
def reader(hostile: Path) -> Iterator[CatalogReader]:
    """What an export reads."""
    one = CatalogReader(hostile / "catalog.db")
    yield one
    one.close()


async def packed(reader: CatalogReader, folder: Path) -> list[str]:
    """The names in a ZIP of everything."""
    found = pages(reader, parse("", now=clock.now()))
    blobs = FolderBlobs(folder / "bucket")
    pieces = zipped(found, blobs, spool_dir=folder / "spool", at=clock.now(), tally=Tally())
    whole = b"".join([piece async for piece in pieces])
    return ZipFile(io.BytesIO(whole)).namelist()


async def test_a_zip_climbs_nowhere(
    reader: CatalogReader, hostile: Path, record_property: Callable[[str, object], None]
) -> None:
    """Its files are called by archive number, and by what their own bytes show."""
    names = await packed(reader, hostile)
    assert len(names) == 2 * len(NAMES) + 1
    assert [name for name in names if not WELL_FORMED.fullmatch(name)] == []
    record_property("result", f"{len(names)} names in a ZIP, 0 that climb")


async def test_named_by_strangers_it_would(
    reader: CatalogReader,
    hostile: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """As exports do that call a picture what its provider calls it."""

    def by_id(found: Found, _asset: object) -> str:
        return f"pictures/{found.generation.id}.png"

    monkeypatch.setattr(packing, "file_name", by_id)
    climbing = [name for name in await packed(reader, hostile) if not WELL_FORMED.fullmatch(name)]
    assert any("../" in name for name in climbing)
    record_property("control", f"by the provider's ids {len(climbing)} climb or break a line")


async def test_a_folder_is_not_left(reader: CatalogReader, hostile: Path, tmp_path: Path) -> None:
    """Nothing is written beside it, and nothing in it under another's name."""
    out = tmp_path / "out"
    found = pages(reader, parse("", now=clock.now()))
    await write_folder(found, FolderBlobs(hostile / "bucket"), out, Tally())
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "out"}
    names = [str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()]
    assert len(names) == 2 * len(NAMES) + 1
    assert [name for name in names if not WELL_FORMED.fullmatch(name)] == []


async def test_no_header_has_another_line(reader: CatalogReader, hostile: Path) -> None:
    """Not what a picture is to be called, nor where the next page is, whoever asks for what."""
    app = Application()
    blobs, spool_dir = FolderBlobs(hostile / "bucket"), hostile / "spool"
    for api in (
        ArchiveApi(reader, blobs, now=clock.now),
        SearchApi(reader, now=clock.now),
        ExportApi(reader, blobs, spool_dir=spool_dir, now=clock.now),
    ):
        app.add_routes(api.routes())
    async with TestServer(app) as server, TestClient(server) as client:
        evil = "%0d%0aX-Evil:%201%0d%0a%0d%0a%3e%3b"
        asked = [f"/api/v1/assets/{number}/content" for number in range(1, len(NAMES) + 1)]
        asked += [f"/api/v1/assets?limit=1&x={evil}", f"/api/v1/export?format=csv&x={evil}"]
        for path in asked:
            async with client.get(path) as answer:
                assert answer.status == 200
                await answer.read()
                assert "X-Evil" not in answer.headers
                disposition = answer.headers.get("Content-Disposition", 'inline; filename="x"')
                assert re.fullmatch(r'(inline|attachment); filename="[\w.-]+"', disposition)
                told = answer.headers.get("Link", '</x>; rel="next"')
                assert re.fullmatch(r'<[^<>\s]+>; rel="next"', told)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=150)


@given(text=TEXT | st.sampled_from(NAMES))
def test_no_name_breaks_out_of_the_metadata(text: str) -> None:
    """Of an object in S3: it is one header of plain characters, and can be read again."""
    [(name, value)] = _quoted({"generation": text}).items()
    assert (name, value.isascii(), value.isprintable()) == ("generation", True, True)
