"""The archive over HTTP: what it answers of an archive that was made by the real rooms."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import TCPConnector, web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from archiver import clock
from archiver.blobs.folder import FolderBlobs
from archiver.catalog import CatalogReader
from archiver.models import (
    Failure,
    FailureClass,
    GenerationState,
    Origin,
    SlotObservation,
)
from archiver.moments import to_text
from archiver.web.answers import problems, revalidated
from archiver.web.api import ArchiveApi
from archiver.web.searching import MAX_LIMIT, SearchApi
from tests.archiver.filled import Archive, filling
from tests.archiver.heard import DRAWN
from tests.archiver.media_bodies import JPEG

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    """An empty one."""
    async with filling(tmp_path) as empty:
        yield empty


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """Whoever asks, on one connection, so that each answer must end where it says."""
    reader = CatalogReader(tmp_path / "catalog.db")
    app = web.Application(middlewares=[problems, revalidated])
    api = ArchiveApi(reader, FolderBlobs(tmp_path / "bucket"), now=clock.now)
    app.add_routes([*api.routes(), *SearchApi(reader, now=clock.now).routes()])
    server = TestServer(app)
    async with TestClient(server, connector=TCPConnector(limit=1)) as speaking:
        yield speaking
        # Before the client: who has hung up is not waited for, and its file stays open.
        await server.close()
    reader.close()


async def asked(client: Client, path: str) -> tuple[int, Any]:
    """Status and document."""
    async with client.get(URL(path, encoded=True)) as answer:
        return answer.status, json.loads(await answer.read())


async def found(client: Client, query: str = "") -> list[str]:
    """The ids on one page of a search."""
    status, page = await asked(client, f"/api/v1/assets{query}")
    assert status == 200, page
    return [hit["id"] for hit in page["hits"]]


async def test_a_generation_is_told_whole(archive: Archive, client: Client) -> None:
    """What was asked, what is known of each link, where the bytes are; and no query of a link."""
    number = await archive.hear("abc", "a red fox", service="flux-pro", cost=20.0)
    asset = await archive.save("abc", JPEG)
    status, story = await asked(client, "/api/v1/generations/doitong/abc")
    [slot] = story["slots"]
    [link] = slot["links"]
    [stored] = slot["assets"]
    assert (status, story["id"], story["state"]) == (200, "abc", "succeeded")
    assert (story["params"], story["service"]) == ({"prompt": "a red fox"}, "flux-pro")
    assert (slot["number"], slot["state"]) == (number, "archived")
    assert link["location"] == "https://cdn.doitong.com/out/a.jpg"
    assert (stored["sha256"], stored["blob_key"]) == (asset.sha256.hex(), asset.blob_key)
    assert "hush" not in json.dumps(story)


@pytest.mark.parametrize("generation_id", ["a/b", "a b", "ключ", "100%", "?#", "-", "a\0b", "{a}"])
async def test_an_id_may_be_any_text(archive: Archive, client: Client, generation_id: str) -> None:
    """The provider chose it, so the path holds it escaped."""
    await archive.hear(generation_id, "a fox")
    escaped = "".join(f"%{byte:02X}" for byte in generation_id.encode())
    status, story = await asked(client, f"/api/v1/generations/doitong/{escaped}")
    assert (status, story["id"]) == (200, generation_id)


async def test_a_generation_that_nobody_heard_of_is_not_found(
    archive: Archive, client: Client
) -> None:
    """404 says so in a problem document (RFC 9457)."""
    async with client.get("/api/v1/generations/doitong/nobody") as answer:
        assert answer.status == 404
        assert answer.content_type == "application/problem+json"
        assert await answer.json(content_type=None) == {
            "status": 404,
            "detail": "nothing is known of that generation",
        }


async def test_words_find_what_was_asked_for(archive: Archive, client: Client) -> None:
    """Every word must occur, in the prompt, the id or the service, in any script."""
    await archive.hear("one", "a red fox in snow", service="flux-pro")
    await archive.hear("two", "a red lighthouse", service="stable-diffusion")
    await archive.hear("three", "雨夜的街道 fox")
    assert await found(client) == ["three", "two", "one"]
    assert await found(client, "?q=FOX") == ["three", "one"]
    assert await found(client, "?q=red+fox") == ["one"]
    assert await found(client, "?q=lighthouse+stable-diffusion") == ["two"]
    assert await found(client, "?q=%E9%9B%A8%E5%A4%9C") == ["three"]
    assert await found(client, "?q=one") == ["one"]
    assert await found(client, "?q=wolf") == []


async def test_a_hit_says_what_it_is(archive: Archive, client: Client) -> None:
    """Enough to recognise a picture without asking again."""
    number = await archive.hear("abc", "a red fox", service="flux-pro")
    asset = await archive.save("abc", JPEG)
    _, page = await asked(client, "/api/v1/assets")
    [hit] = page["hits"]
    del hit["heard_at"]
    assert hit == {
        "model": None,
        "seed": None,
        "steps": None,
        "guidance_scale": None,
        "archived_at": to_text(asset.archived_at),
        "flagged": False,
        "number": number,
        "provider": "doitong",
        "id": "abc",
        "slot": 0,
        "state": "archived",
        "reason": "the provider's picture is in the bucket",
        "prompt": "a red fox",
        "service": "flux-pro",
        "origin": "provider",
        "sha256": asset.sha256.hex(),
        "media_type": "image/jpeg",
        "size_bytes": len(JPEG),
        "width": asset.width,
        "height": asset.height,
    }


async def test_links_lead_through_everything_once(archive: Archive, client: Client) -> None:
    """Pages of any size show the same, newest first, whatever is added meanwhile."""
    ids = [f"fox{number}" for number in range(7)]
    for generation_id in ids:
        await archive.hear(generation_id, "a fox")
    for limit in (1, 2, 3, 7, 8):
        seen: list[str] = []
        following: URL | None = URL(f"/api/v1/assets?q=fox&limit={limit}&cursor=")
        pages = 0
        while following is not None:
            async with client.get(following) as answer:
                page = await answer.json()
            seen += [hit["id"] for hit in page["hits"]]
            following, pages = (
                answer.links["next"]["url"].relative() if answer.links else None,
                pages + 1,
            )
            assert (following is None) is (page["cursor"] is None)
            await archive.hear(f"late{limit}.{pages}", "a late fox")
        assert ids[::-1] == [it for it in seen if it in ids]
        assert pages == len(range(0, len(seen), limit))


WRONG = ["limit=0", f"limit={MAX_LIMIT + 1}", "limit=-1", "limit=", "limit=ten", "limit=1.5"]
WRONG += ["limit=%C2%B2", "limit=%D9%A3", f"limit={'1' * 5000}", "limit=+1", "limit=%201"]
WRONG += ["cursor=x", "cursor=-1", "cursor=%C2%B2", f"cursor={'1' * 19}", "cursor=1&limit=0"]


@pytest.mark.parametrize("query", WRONG)
async def test_a_page_that_cannot_be_is_refused(
    archive: Archive, client: Client, query: str
) -> None:
    """400 says what is possible."""
    status, problem = await asked(client, f"/api/v1/assets?{query}")
    assert status == 400
    assert problem["detail"].startswith(("limit must be", "cursor must be"))


@pytest.mark.parametrize("limit", [1, MAX_LIMIT])
async def test_limits_are_inclusive(archive: Archive, client: Client, limit: int) -> None:
    """The smallest and the largest page may be asked for."""
    await archive.hear("abc", "a fox")
    assert await found(client, f"?limit={limit}") == ["abc"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.text(max_size=30) | st.text(alphabet="ab\"'*()^:-+ NOTANDOR{}", max_size=30))
async def test_no_words_are_syntax(archive: Archive, client: Client, words: str) -> None:
    """Whatever is typed is a query of ours, or wrong as one, and never one of the index's own."""
    for path in ("/api/v1/assets", "/api/v1/facets"):
        status, page = await asked(client, str(URL(path).with_query(q=words)))
        assert status == 200 or 0 <= page["position"] <= len(words)


async def test_a_query_that_is_wrong_says_where(client: Client, archive: Archive) -> None:
    """As a problem with the position of the character, and what may not be meant as a hint."""
    status, problem = await asked(client, "/api/v1/assets?q=fox%20steps:many")
    assert (status, problem["position"]) == (400, 10)
    assert problem["detail"].startswith("steps: takes a number")
    _, page = await asked(client, "/api/v1/assets?q=porvider:doitong")
    assert [hint["position"] for hint in page["hints"]] == [0]


async def test_facets_say_what_all_hits_are_like(archive: Archive, client: Client) -> None:
    """How many there are, and how many of each value."""
    for generation_id, service in (("a", "flux-pro"), ("b", "flux-pro"), ("c", "sd-xl")):
        await archive.hear(generation_id, "a fox", service=service)
    await archive.hear("d", "a hen")
    _, told = await asked(client, "/api/v1/facets?q=fox")
    assert told["count"] == {"number": 3, "exact": True}
    assert told["facets"]["service"] == {"flux-pro": 2, "sd-xl": 1}
    assert told["facets"]["state"] == {"linked": 3}
    assert told["facets"]["origin"] == {}


async def test_a_slot_is_told_by_its_number(archive: Archive, client: Client) -> None:
    """The archive number leads to the hit and the whole story behind it."""
    number = await archive.hear("abc", "a fox")
    status, told = await asked(client, f"/api/v1/assets/{number}")
    assert (status, told["number"], told["state"]) == (200, number, "linked")
    assert told["generation"]["slots"][0]["jobs"][0]["kind"] == "fetch"
    for nobody in (number + 1, 0, "9" * 18):
        status, problem = await asked(client, f"/api/v1/assets/{nobody}")
        assert (status, problem["detail"]) == (404, "no asset has that number")


async def test_content_is_the_very_bytes_and_harmless(archive: Archive, client: Client) -> None:
    """The bytes come with the type that they truly have, and with headers that keep a browser
    from running anything in them."""
    number = await archive.hear("abc", "a fox")
    asset = await archive.save("abc", JPEG)
    async with client.get(f"/api/v1/assets/{number}/content") as answer:
        assert (answer.status, await answer.read()) == (200, JPEG)
        headers = {name: answer.headers[name] for name in CONTENT_HEADERS}
    assert headers == {
        **CONTENT_HEADERS,
        "Content-Length": str(len(JPEG)),
        "Content-Disposition": f'inline; filename="{asset.sha256.hex()}.jpg"',
        "ETag": f'"{asset.sha256.hex()}"',
    }


CONTENT_HEADERS = {
    "Content-Type": "image/jpeg",
    "Content-Length": "",
    "Content-Disposition": "",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "ETag": "",
    "Cache-Control": "private, no-cache",
    "Accept-Ranges": "bytes",
}


async def test_head_says_what_get_would(archive: Archive, client: Client) -> None:
    """The same headers and not one byte of a body, so that the next answer is not disturbed."""
    number = await archive.hear("abc", "a fox")
    await archive.save("abc", JPEG)
    async with client.head(f"/api/v1/assets/{number}/content") as answer:
        assert (answer.status, answer.content_length) == (200, len(JPEG))
    async with client.get(f"/api/v1/assets/{number}/content") as answer:
        assert await answer.read() == JPEG


async def test_the_original_leads(archive: Archive, client: Client) -> None:
    """What was drawn in its stead is served until the provider's own picture has come."""
    drawn, original = JPEG[:-2] + b"drawn\xff\xd9", JPEG
    number = await archive.hear("abc", "a fox")
    for picture, origin in ((drawn, Origin.FALLBACK), (original, Origin.PROVIDER)):
        await archive.save("abc", picture, origin)
        async with client.get(f"/api/v1/assets/{number}/content") as answer:
            assert await answer.read() == picture


async def test_what_was_flagged_is_held_and_not_served(archive: Archive, client: Client) -> None:
    """403 says why; the hit says that it is held, and how it was drawn."""
    lost = {"state": GenerationState.FAILED, "slots": (SlotObservation(index=0),)}
    number = await archive.hear("abc", "a fox", **lost)
    flagged = replace(DRAWN, flagged=True)
    await archive.save("abc", JPEG, Origin.FALLBACK, flagged)
    status, problem = await asked(client, f"/api/v1/assets/{number}/content")
    detail = f"slot {number} is not shown: flagged by the safety checker"
    assert (status, problem["detail"]) == (403, detail)
    _, page = await asked(client, "/api/v1/assets")
    [hit] = page["hits"]
    assert (hit["state"], hit["origin"], hit["flagged"]) == ("held", "fallback", True)
    _, told = await asked(client, f"/api/v1/assets/{number}")
    [kept] = told["generation"]["slots"][0]["assets"]
    assert kept["rendering"] == {**asdict(flagged), "notes": ["a note"]}


async def test_a_slot_without_bytes_says_why(archive: Archive, client: Client) -> None:
    """404 tells what became of it, in the words of its state."""
    waiting = await archive.hear("soon", "a fox")
    refused = await archive.hear(
        "never",
        "a fox",
        state=GenerationState.FAILED,
        slots=(SlotObservation(index=0),),
        failure=Failure(failure_class=FailureClass.POLICY, message="not this fox"),
    )
    answers = {
        waiting: f"slot {waiting} has no bytes: linked (a link is known and being fetched)",
        refused: f"slot {refused} has no bytes: held (moderation, never drawn: not this fox)",
        refused + 1: "no asset has that number",
    }
    for number, detail in answers.items():
        status, problem = await asked(client, f"/api/v1/assets/{number}/content")
        assert (status, problem["detail"]) == (404, detail)


async def test_an_object_that_is_gone_is_our_trouble(
    archive: Archive, client: Client, tmp_path: Path
) -> None:
    """503 with Retry-After when the bucket does not hold what the catalog says it does."""
    number = await archive.hear("abc", "a fox")
    asset = await archive.save("abc", JPEG)
    (tmp_path / "bucket" / asset.blob_key).unlink()
    async with client.get(f"/api/v1/assets/{number}/content") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert asset.blob_key in (await answer.json(content_type=None))["detail"]


@pytest.mark.parametrize("path", ["generations/doitong/abc", "assets", "assets/1"])
async def test_without_a_catalog_it_is_our_trouble(client: Client, path: str) -> None:
    """503 with Retry-After: the role that makes it has perhaps not come so far."""
    async with client.get(f"/api/v1/{path}") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert "catalog" in (await answer.json(content_type=None))["detail"]
