"""Signed links lead to pictures of the archive, and only those that we signed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from archiver.blobs import BlobStore
from archiver.blobs.folder import FolderBlobs
from archiver.blobs.s3 import S3Blobs
from archiver.catalog import Catalog, CatalogReader
from archiver.catalog.schema import migrate
from archiver.models import Generation, Origin, SlotState
from receiver.pictures import PictureLinks, Pictures, servable
from tests.receiver.providers.holdings import PICTURE, asset, generation

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DAY = timedelta(hours=24)
LINKS = PictureLinks(b"a key")


async def known(folder: Path, *generations: Generation) -> CatalogReader:
    """A catalog of these generations, whose slots are numbered from 1."""
    path = folder / "catalog.db"
    migrate(path)
    catalog = Catalog(path)
    await catalog.start()
    for one in generations:
        await catalog.write(lambda tables, one=one: tables.generations.save(None, one))
    await catalog.close()
    return CatalogReader(path)


@asynccontextmanager
async def served(folder: Path, blobs: BlobStore, one: Generation) -> AsyncIterator[str]:
    """The address of a server of pictures."""
    catalog = await known(folder, one)
    pictures = Pictures(links=LINKS, catalog=catalog, blobs=blobs, now=lambda: NOW)
    runner = web.ServerRunner(web.Server(pictures.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        catalog.close()


async def asked(method: str, url: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, no redirect followed."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, allow_redirects=False) as answer,
    ):
        return answer.status, dict(answer.headers), await answer.read()


class TestLinks:
    """What is ours, and for how long."""

    @given(number=st.integers(1, 10**18 - 1), seconds=st.integers(0, 86_399))
    def test_ours_lives_for_a_day(self, number: int, seconds: int) -> None:
        """To the second."""
        path = LINKS.path(number, asset(), NOW)
        assert path.startswith(f"/gateway/pictures/{number}.png?expires=")
        assert LINKS.number(path, NOW + timedelta(seconds=seconds)) == number
        assert LINKS.number(path, NOW + DAY) is None

    @given(data=st.data(), put=st.characters(codec="ascii"))
    def test_any_other_leads_nowhere(self, data: st.DataObject, put: str) -> None:
        """One character is enough, but in the extension, which is for the reader's eye."""
        path = LINKS.path(1, asset(), NOW)
        extension = range(path.index("."), path.index("?"))
        places = [at for at in range(len(path)) if at not in extension and path[at] != put]
        at = data.draw(st.sampled_from(places))
        assert LINKS.number(path[:at] + put + path[at + 1 :], NOW) is None

    def test_a_link_of_another_archive_is_not_ours(self) -> None:
        """The key decides."""
        assert LINKS.number(PictureLinks(b"another").path(1, asset(), NOW), NOW) is None


class TestServing:
    """What whoever has a link gets."""

    @pytest.mark.parametrize(("method", "body"), [("GET", PICTURE), ("HEAD", b"")])
    async def test_the_bytes_as_what_they_are(
        self, tmp_path: Path, method: str, body: bytes
    ) -> None:
        """With the type that we found in them, and no guessing."""
        blobs, held = FolderBlobs(tmp_path / "bucket"), asset()
        await blobs.put(held.blob_key, PICTURE, media_type="image/png", metadata={})
        async with served(tmp_path, blobs, generation("dashscope", "t", held)) as url:
            status, headers, found = await asked(method, url + LINKS.path(1, held, NOW))
        assert (status, found) == (200, body)
        assert headers["Content-Type"] == "image/png"
        assert headers["Content-Length"] == str(len(PICTURE))
        assert headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize("hours", [0, 1, 23])
    async def test_nobody_keeps_them_longer_than_the_link_lives(
        self, tmp_path: Path, hours: int
    ) -> None:
        """What was forgotten or withheld meanwhile is gone by then from every cache as well."""
        blobs, held = FolderBlobs(tmp_path / "bucket"), asset()
        await blobs.put(held.blob_key, PICTURE, media_type="image/png", metadata={})
        made_at = NOW - timedelta(hours=hours)
        async with served(tmp_path, blobs, generation("dashscope", "t", held)) as url:
            _, headers, _ = await asked("GET", url + LINKS.path(1, held, made_at))
        left_seconds = (24 - hours) * 3600
        assert headers["Cache-Control"] == f"private, max-age={left_seconds}, immutable"

    async def test_a_bucket_that_hands_out_itself(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Is where the client is sent; HEAD, for which no such URL is good, is answered here."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        blobs, held = S3Blobs("b", endpoint="http://127.0.0.1:1", region="us-east-1"), asset()
        async with served(tmp_path, blobs, generation("dashscope", "t", held)) as url:
            status, headers, _ = await asked("GET", url + LINKS.path(1, held, NOW))
            assert (status, headers["Cache-Control"]) == (302, "no-store")
            assert headers["Location"].startswith(f"http://127.0.0.1:1/b/{held.blob_key}?")
            status, headers, _ = await asked("HEAD", url + LINKS.path(1, held, NOW))
            assert (status, headers["Content-Length"]) == (200, str(len(PICTURE)))
        await blobs.close()

    @pytest.mark.parametrize(
        ("method", "number", "status"), [("GET", 2, 404), ("GET", 9, 404), ("POST", 1, 405)]
    )
    async def test_what_there_is_not(
        self, tmp_path: Path, method: str, number: int, status: int
    ) -> None:
        """A slot without a picture, a number that nobody has, a method that makes no sense."""
        one = generation("dashscope", "t", asset(), None)
        async with served(tmp_path, FolderBlobs(tmp_path / "bucket"), one) as url:
            assert (await asked(method, url + LINKS.path(number, asset(), NOW)))[0] == status

    async def test_a_bucket_that_has_lost_it(self, tmp_path: Path) -> None:
        """Is our trouble, and says so."""
        one = generation("dashscope", "t", asset())
        async with served(tmp_path, FolderBlobs(tmp_path / "bucket"), one) as url:
            status, headers, _ = await asked("GET", url + LINKS.path(1, asset(), NOW))
        assert (status, headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(
    ("origin", "changes", "moderated", "may"),
    [
        (Origin.PROVIDER, {}, False, True),
        (Origin.PROVIDER, {}, True, True),
        (Origin.FALLBACK, {}, False, True),
        (Origin.FALLBACK, {}, True, False),
        (Origin.PROVIDER, {"state": SlotState.HELD}, False, False),
        (Origin.PROVIDER, {"assets": ()}, False, False),
    ],
)
def test_what_may_be_handed_out(
    origin: Origin, changes: dict[str, Any], moderated: bool, may: bool
) -> None:
    """Nothing held, and nothing drawn where moderation spoke."""
    one = generation("dashscope", "t", asset(origin), moderated=moderated)
    slot = replace(one.slots[0], **changes)
    assert (servable(one, slot) is not None) is may
