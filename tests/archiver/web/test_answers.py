"""Answers to whoever has something already, wants a part, or is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError, web
from aiohttp.test_utils import TestClient, TestServer

from archiver import clock
from archiver.blobs.folder import FolderBlobs
from archiver.catalog import CatalogReader
from archiver.models import GenerationParams, Origin
from archiver.web.answers import problems, revalidated
from archiver.web.api import ArchiveApi
from archiver.web.searching import SearchApi
from tests.archiver.filled import Archive, filling
from tests.archiver.media_bodies import JPEG

Client = TestClient[web.Request, web.Application]
CONTENT = "/api/v1/assets/1/content"
JSON = ["assets", "assets?q=fox&sort=oldest", "facets", "assets/1", "generations/doitong/abc"]


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    """One with one picture."""
    async with filling(tmp_path) as archive:
        await archive.hear("abc", "a fox")
        await archive.save("abc", JPEG)
        yield archive


@pytest.fixture
async def client(tmp_path: Path, archive: Archive) -> AsyncIterator[Client]:
    """Whoever asks."""
    reader = CatalogReader(tmp_path / "catalog.db")
    app = web.Application(middlewares=[problems, revalidated], client_max_size=1000)
    api = ArchiveApi(reader, FolderBlobs(tmp_path / "bucket"), now=clock.now)

    async def bug(_request: web.Request) -> web.Response:
        raise ZeroDivisionError("hush")

    async def reading(request: web.Request) -> web.Response:
        return web.json_response(len(await request.read()))

    app.add_routes([*api.routes(), *SearchApi(reader, now=clock.now).routes()])
    app.add_routes([web.get("/api/v1/bug", bug), web.put("/api/v1/size", reading)])
    server = TestServer(app)
    async with TestClient(server) as speaking:
        yield speaking
        # Before the client: who has hung up is not waited for, and its file stays open.
        await server.close()
    reader.close()


async def asked(
    client: Client, path: str, method: str = "GET", **headers: str
) -> tuple[int, Any, bytes]:
    """Status, headers and body."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.request(method, path, headers=names) as answer:
        return answer.status, answer.headers, await answer.read()


@pytest.mark.parametrize("path", JSON)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_json_is_not_sent_twice(client: Client, path: str, method: str) -> None:
    """304 without a byte to whoever names its tag; to anybody else all of it, and the tag."""
    path = f"/api/v1/{path}"
    status, headers, body = await asked(client, path)
    tag = headers["ETag"]
    assert (status, headers["Cache-Control"]) == (200, "private, no-cache")
    for said in (tag, f'"x", W/{tag}', "*"):
        status, told, nothing = await asked(client, path, method, If_None_Match=said)
        assert (status, nothing, told["ETag"]) == (304, b"", tag)
        assert told["Cache-Control"] == "private, no-cache"
        assert "Content-Type" not in told
    status, told, again = await asked(client, path, method, If_None_Match='"x"')
    assert (status, told["ETag"], told["Content-Length"]) == (200, tag, str(len(body)))
    assert again == (body if method == "GET" else b"")


@pytest.mark.parametrize("path", JSON)
async def test_the_tag_changes_with_the_answer(client: Client, archive: Archive, path: str) -> None:
    """So that nobody is left with what was."""
    _, before, _ = await asked(client, f"/api/v1/{path}")
    await archive.hear("abc", "a fox", cost=7.0)
    await archive.hear("another", "a fox")
    status, after, _ = await asked(client, f"/api/v1/{path}", If_None_Match=before["ETag"])
    assert (status, after["ETag"] == before["ETag"]) == (200, False)


async def test_what_is_wrong_is_never_not_modified(client: Client) -> None:
    """A condition holds for good answers only."""
    for path in ("assets?limit=0", "assets/9", "nothing"):
        status, headers, _ = await asked(client, f"/api/v1/{path}", If_None_Match="*")
        assert (status in (400, 404), "ETag" in headers) == (True, False)


async def test_a_picture_is_not_sent_twice(client: Client, archive: Archive) -> None:
    """Its tag is its digest, so that a picture that comes to lead is sent."""
    _, headers, _ = await asked(client, CONTENT)
    tag = headers["ETag"]
    for method in ("GET", "HEAD"):
        status, told, body = await asked(client, CONTENT, method, If_None_Match=tag)
        assert (status, body, told["ETag"]) == (304, b"", tag)
    await archive.hear("drawn", "a fox")
    await archive.save("drawn", JPEG[:-2] + b"!\xff\xd9", Origin.FALLBACK)
    _, drawn, _ = await asked(client, "/api/v1/assets/2/content")
    await archive.save("drawn", JPEG)
    path = "/api/v1/assets/2/content"
    status, told, body = await asked(client, path, If_None_Match=drawn["ETag"])
    assert (status, told["ETag"], body) == (200, tag, JPEG)


@pytest.mark.parametrize(("said", "begin", "end"), [("bytes=2-5", 2, 6), ("bytes=-4", -4, None)])
async def test_a_part_of_a_picture_is_given(
    client: Client, said: str, begin: int, end: int | None
) -> None:
    """206 with just those bytes, and whose they are."""
    status, headers, body = await asked(client, CONTENT, Range=said)
    assert (status, body) == (206, JPEG[begin:end])
    start = begin % len(JPEG)
    place = f"bytes {start}-{start + len(body) - 1}/{len(JPEG)}"
    assert headers["Content-Range"] == place
    assert headers["Content-Length"] == str(len(body))
    status, same, again = await asked(client, CONTENT, Range=said, If_Range=headers["ETag"])
    assert (status, again, same["Content-Type"]) == (206, body, "image/jpeg")


WHOLE = [{"Range": "bytes=0-1,4-5"}, {"Range": "bytes=1-2", "If_Range": '"x"'}, {"Range": "x=1-2"}]


@pytest.mark.parametrize("headers", WHOLE)
async def test_else_the_whole_picture_comes(client: Client, headers: dict[str, str]) -> None:
    """Where several parts are asked for, or one of another picture; and it says what it can do."""
    status, told, body = await asked(client, CONTENT, **headers)
    assert (status, body, told["Accept-Ranges"]) == (200, JPEG, "bytes")


async def test_head_knows_no_parts(client: Client) -> None:
    """It says what the whole would be (RFC 9110 §14.2)."""
    status, headers, _ = await asked(client, CONTENT, "HEAD", Range="bytes=0-1")
    assert (status, headers["Content-Length"]) == (200, str(len(JPEG)))


async def test_a_part_that_is_not_there_is_refused(client: Client) -> None:
    """416 says how much there is."""
    status, headers, _ = await asked(client, CONTENT, Range=f"bytes={len(JPEG)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(JPEG)}")
    assert headers["Content-Type"] == "application/problem+json"


async def test_a_picture_may_be_a_download(client: Client) -> None:
    """Under a name of ours, whatever a provider may have called it."""
    for path, shown in ((CONTENT, "inline"), (f"{CONTENT}?download=1", "attachment")):
        _, headers, _ = await asked(client, path)
        kind, _, name = headers["Content-Disposition"].partition("; ")
        digest = headers["ETag"].strip('"')
        assert (kind, name) == (shown, f'filename="{digest}.jpg"')


async def test_an_object_that_was_cut_is_not_taken_for_whole(
    client: Client, archive: Archive, tmp_path: Path
) -> None:
    """The connection ends before the bytes do that were promised."""
    asset = await archive.save("abc", JPEG)
    (tmp_path / "bucket" / asset.blob_key).write_bytes(JPEG[:-1])
    with pytest.raises(ClientPayloadError):
        await asked(client, CONTENT)


async def test_what_nobody_serves_is_a_problem(client: Client) -> None:
    """404 and 405 are documents like all others; 405 says what is served."""
    status, headers, _ = await asked(client, "/api/v1/nothing")
    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
    status, headers, _ = await asked(client, "/api/v1/assets", "POST")
    assert (status, headers["Content-Type"]) == (405, "application/problem+json")
    assert headers["Allow"] == "GET,HEAD"


async def test_a_body_that_is_too_large_is_a_problem(client: Client) -> None:
    """413, as soon as it is more than is taken."""
    async with client.put("/api/v1/size", data=b"x" * 1001) as answer:
        assert (answer.status, answer.content_type) == (413, "application/problem+json")
    async with client.put("/api/v1/size", data=b"x" * 1000) as answer:
        assert await answer.json() == 1000


async def test_a_bug_is_told_without_what_it_was_about(client: Client) -> None:
    """500 as a problem, and the details in the log."""
    status, headers, body = await asked(client, "/api/v1/bug")
    assert (status, headers["Content-Type"]) == (500, "application/problem+json")
    assert b"ZeroDivisionError" in body
    assert b"hush" not in body


@pytest.mark.parametrize(
    ("query", "found"),
    [("sort=oldest", ["abc", "b"]), ("sort=newest", ["b", "abc"]), ("sort=bytes", ["abc", "b"]),
     ("q=sort:oldest&sort=oldest", ["abc", "b"]), ("q=%22a+fox&sort=oldest", ["abc", "b"])],
)  # fmt: skip
async def test_an_order_can_be_said_apart(
    client: Client, archive: Archive, query: str, found: list[str]
) -> None:
    """The same as within the query, even where a quote there never ends."""
    await archive.hear("b", "a fox")
    async with client.get(f"/api/v1/assets?{query}") as answer:
        page = await answer.json()
    assert [hit["id"] for hit in page["hits"]] == found


@pytest.mark.parametrize(
    "query", ["sort=best", "sort=", "q=sort:bytes&sort=cost", "q=sort:newest&sort=bytes"]
)
@pytest.mark.parametrize("path", ["assets", "facets"])
async def test_an_order_that_cannot_be_is_refused(client: Client, path: str, query: str) -> None:
    """One that nobody knows, and one that the query contradicts."""
    status, headers, body = await asked(client, f"/api/v1/{path}?{query}")
    assert (status, headers["Content-Type"]) == (400, "application/problem+json")
    assert b"sort" in body


async def test_a_hit_shows_a_seed_of_64_bits(client: Client, archive: Archive) -> None:
    """Though no column of SQLite's can hold it."""
    seed = 2**64 - 1
    await archive.hear("b", "", params=GenerationParams(prompt="a hen", seed=seed))
    for query in ("q=hen", f"q=seed:{seed}"):
        async with client.get(f"/api/v1/assets?{query}") as answer:
            [hit] = (await answer.json())["hits"]
        assert (hit["id"], hit["seed"]) == ("b", seed)
