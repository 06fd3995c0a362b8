"""Thumbnails and look-alikes over HTTP, of an archive whose previews are made up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import TCPConnector, web
from aiohttp.test_utils import TestClient, TestServer

from archiver.blobs.folder import FolderBlobs
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.keys import thumb_key
from archiver.ledger import keep
from archiver.lifecycle import archive, settle
from archiver.looks import Looks
from archiver.models import Asset, Generation, Origin
from archiver.previews import Preview
from archiver.web.answers import problems
from archiver.web.api import ArchiveApi
from archiver.web.looks import LooksApi
from tests.archiver.generated import linked
from tests.archiver.heard import DRAWN, asset
from tests.clocks import NOON, FrozenClock

Client = TestClient[web.Request, web.Application]
THUMBNAIL = b"RIFF...WEBP"
PREVIEW = Preview(phash=0, width=320, height=240)


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Presigning(FolderBlobs):
    """A bucket that has URLs of its own."""

    async def presigned_url(
        self, key: str, *, expires_seconds: int, media_type: str, filename: str
    ) -> str | None:
        return f"https://bucket.example/{key}?{expires_seconds}&{media_type}&{filename}"


@dataclass(frozen=True, slots=True)
class Archive:
    """Slots with pictures, by the number that their digest is."""

    catalog: Catalog
    blobs: FolderBlobs

    async def save(self, name: str, saved: Asset, *previews: Preview, **also: Any) -> int:
        """A slot with that asset, of a generation with those fields; its archive number."""

        def work(tables: Tables) -> int:
            after = settle(replace(archive(linked(name, prompt="a fox"), 0, saved), **also))
            for preview in previews:
                tables.previews.put(saved.sha256, preview)
            number = keep(tables, None, after, now=NOON).slots[0].number
            assert number is not None
            return number

        for preview in previews:
            if not preview.reason:
                key = thumb_key(saved.sha256)
                await self.blobs.put(key, THUMBNAIL, media_type="image/webp", metadata={})
        return await self.catalog.write(work)


@pytest.fixture
def archived(tmp_path: Path, catalog: Catalog) -> Archive:
    return Archive(catalog, FolderBlobs(tmp_path / "bucket"))


@pytest.fixture(params=[FolderBlobs])
async def client(
    request: pytest.FixtureRequest, tmp_path: Path, reader: CatalogReader, clock: FrozenClock
) -> AsyncIterator[Client]:
    blobs = request.param(tmp_path / "bucket")
    app = web.Application(middlewares=[problems])
    app.add_routes(LooksApi(reader, blobs, Looks()).routes())
    app.add_routes(ArchiveApi(reader, blobs, now=clock).routes())
    server = TestServer(app)
    async with TestClient(server, connector=TCPConnector(limit=1)) as speaking:
        yield speaking
        await server.close()  # before the client: who has hung up is not waited for


def picture(number: int = 1, **changes: Any) -> Asset:
    return replace(asset(), sha256=digest(number), **changes)


async def asked(client: Client, path: str) -> tuple[int, Any]:
    """Status and document."""
    async with client.get(f"/api/v1/assets/{path}") as answer:
        return answer.status, json.loads(await answer.read())


async def test_a_thumbnail_is_streamed(archived: Archive, client: Client) -> None:
    """Its type pinned, and to be asked about before it is shown again: it may be withheld by then,
    or another picture lead."""
    number = await archived.save("a", picture(), PREVIEW)
    async with client.get(f"/api/v1/assets/{number}/thumbnail") as answer:
        assert (answer.status, await answer.read()) == (200, THUMBNAIL)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


HEADERS = {
    "Content-Type": "image/webp",
    "Content-Length": str(len(THUMBNAIL)),
    "Content-Disposition": f'inline; filename="{digest(1).hex()}.webp"',
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-cache",
}


async def test_who_has_a_thumbnail_is_not_sent_it(archived: Archive, client: Client) -> None:
    """304 for the tag that it came with, which is strong and not that of the picture."""
    path = f"/api/v1/assets/{await archived.save('a', picture(), PREVIEW)}/thumbnail"
    async with client.get(path) as answer:
        etag, _ = answer.headers["ETag"], await answer.read()
    assert etag.startswith('"')
    assert etag != f'"{digest(1).hex()}"'
    for known, status in ((etag, 304), (f'"x", {etag}', 304), ('"x"', 200)):
        async with client.get(path, headers={"If-None-Match": known}) as answer:
            assert (answer.status, answer.headers["ETag"]) == (status, etag)
            assert await answer.read() == (THUMBNAIL if status == 200 else b"")


@pytest.mark.parametrize("client", [Presigning], indirect=True)
async def test_a_bucket_serves_its_own(archived: Archive, client: Client) -> None:
    """302 to a link that dies soon, which nobody may keep."""
    number = await archived.save("a", picture(), PREVIEW)
    path = f"/api/v1/assets/{number}/thumbnail"
    async with client.get(path, allow_redirects=False) as answer:
        name = f"{digest(1).hex()}.webp"
        url = f"https://bucket.example/{thumb_key(digest(1))}?300&image/webp&{name}"
        assert (answer.status, answer.headers["Location"]) == (302, url)
        assert answer.headers["Cache-Control"] == "no-store"


async def test_where_there_is_no_thumbnail_it_is_said_why(
    archived: Archive, client: Client
) -> None:
    """404, whether it is still to come or never will."""
    waits = await archived.save("a", picture())
    video = await archived.save("b", picture(2, media_type="video/mp4"))
    refused = await archived.save("c", picture(3), Preview(reason="it is a bomb"))
    gone = await archived.save("d", picture(4), PREVIEW)
    await archived.blobs.delete(thumb_key(digest(4)))
    answers = {
        waits: f"slot {waits} has no thumbnail: it is made soon",
        video: f"slot {video} has no thumbnail: it is video/mp4",
        refused: f"slot {refused} has no thumbnail: it is a bomb",
        gone: f"the bucket has no {thumb_key(digest(4))} any more",
        gone + 1: "no asset has that number",
    }
    for number, detail in answers.items():
        status, problem = await asked(client, f"{number}/thumbnail")
        assert (status, problem["detail"]) == (404, detail)


async def test_a_slot_without_a_picture_has_no_thumbnail(catalog: Catalog, client: Client) -> None:
    """404 says what became of it."""

    def lose(tables: Tables) -> Generation:
        return keep(tables, None, linked("a"), now=NOON)

    number = (await catalog.write(lose)).slots[0].number
    detail = f"slot {number} has no bytes: linked (a link is known and being fetched)"
    for what in ("thumbnail", "similar"):
        status, problem = await asked(client, f"{number}/{what}")
        assert (status, problem["detail"]) == (404, detail)


async def test_what_is_withheld_is_not_shown_small(archived: Archive, client: Client) -> None:
    """403, as for the picture itself."""
    drawn = picture(origin=Origin.FALLBACK, rendering=DRAWN)
    flagged = replace(drawn, rendering=replace(DRAWN, flagged=True))
    why = {
        await archived.save("a", flagged, PREVIEW): "flagged by the safety checker",
        await archived.save("b", drawn, moderated=True): (
            "the provider has called it moderated since it was drawn"
        ),
    }
    for number, reason in why.items():
        status, problem = await asked(client, f"{number}/thumbnail")
        assert (status, problem["detail"]) == (403, f"slot {number} is not shown: {reason}")
        _, told = await asked(client, str(number))
        assert told["thumbnail"] is False
        assert (await asked(client, f"{number}/content"))[0] == 403


async def test_what_looks_alike_is_told(archived: Archive, client: Client) -> None:
    """The most alike first, each as a search tells its hits, and how far away it is."""
    one, near, far, other = [
        await archived.save(str(bits), picture(bits + 1), replace(PREVIEW, phash=2**bits - 1))
        for bits in (0, 2, 9, 40)
    ]
    status, told = await asked(client, f"{one}/similar")
    assert (status, told["of"]) == (200, digest(1).hex())
    hits = [(hit["number"], hit["distance"], hit["prompt"]) for hit in told["hits"]]
    assert hits == [(near, 2, "a fox"), (far, 9, "a fox")]
    for asks, numbers in {
        "distance=8": [near],
        "distance=0": [],
        "distance=32&limit=1": [near],
        "distance=9&limit=200": [near, far],
    }.items():
        _, told = await asked(client, f"{one}/similar?{asks}")
        assert [hit["number"] for hit in told["hits"]] == numbers
    _, told = await asked(client, f"{other}/similar")
    assert told["hits"] == []


@pytest.mark.parametrize(
    "asks",
    [
        *("distance=33", "distance=-1", "distance=", "distance=1.0", "distance=%D9%A1"),
        *("limit=0", "limit=201", "limit=", "limit=99999999999"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    archived: Archive, client: Client, asks: str
) -> None:
    """400 says what can."""
    number = await archived.save("a", picture(), PREVIEW)
    status, problem = await asked(client, f"{number}/similar?{asks}")
    assert status == 400
    assert problem["detail"].startswith(f"{asks.partition('=')[0]} must be a whole number from ")


async def test_what_cannot_be_compared_says_why(archived: Archive, client: Client) -> None:
    """404 where there is no hash yet, or never will be one."""
    waits = await archived.save("a", picture(1))
    refused = await archived.save("b", picture(2), Preview(reason="it is a bomb"))
    blank = await archived.save("c", picture(3), replace(PREVIEW, phash=None))
    for number, detail in {
        waits: f"slot {waits} has no thumbnail: it is made soon",
        refused: f"slot {refused} looks like no other: it is a bomb",
        blank: f"slot {blank} looks like no other: it has nothing in it to be compared by",
        blank + 1: "no asset has that number",
    }.items():
        status, problem = await asked(client, f"{number}/similar")
        assert (status, problem["detail"]) == (404, detail)


async def test_a_slot_knows_its_duplicates(archived: Archive, client: Client) -> None:
    """Those with the very same bytes, the newest first; and whether there is a thumbnail."""
    first, second, third = [await archived.save(name, picture(1)) for name in "abc"]
    alone = await archived.save("d", picture(2), PREVIEW)
    _, told = await asked(client, str(second))
    assert (told["duplicates"], told["thumbnail"]) == ([third, first], False)
    _, told = await asked(client, str(alone))
    assert (told["duplicates"], told["thumbnail"]) == ([], True)
