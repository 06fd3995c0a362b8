"""The desk over HTTP: every answer that a renderer on another host may meet."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from archiver.blobs.s3 import S3Blobs
from archiver.desk import Commission, wire
from archiver.desk.uploads import sweep
from archiver.keys import blob_key
from archiver.models import (
    GenerationParams,
    GenerationState,
    InputObservation,
    SlotObservation,
)
from archiver.web import jobs
from archiver.web.answers import problems
from archiver.web.jobs import JobsApi
from archiver.work import JobKind
from tests.archiver.media_bodies import JPEG
from tests.archiver.moto_server import make_bucket, serve_moto, session
from tests.contracts.desk import DRAWN, LINK, House, open_house, png

Client = TestClient[web.Request, web.Application]
CLAIM = "/api/v1/jobs/claim"
RENDERING = msgspec.to_builtins(DRAWN)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as house:
        yield house


@pytest.fixture
async def client(house: House) -> AsyncIterator[Client]:
    async with speaking(house) as client:
        yield client


def speaking(house: House) -> Client:
    """Whoever asks that house's desk."""
    app = web.Application(middlewares=[problems])
    app.add_routes(JobsApi(house.archive).routes())
    return TestClient(TestServer(app))


class Renderer:
    """Speaks as a renderer does; holds one commission."""

    def __init__(self, client: Client, commission: Commission) -> None:
        self.client, self.fence = client, commission.fence
        self.path = f"/api/v1/jobs/{commission.job_id}"

    async def post(self, what: str, **said: Any) -> tuple[int, Any]:
        """Status and document of one request that shows the fence."""
        return await post(self.client, f"{self.path}/{what}", {"fence": self.fence, **said})

    async def send(self, body: Any) -> tuple[int, Any]:
        """The picture, through the archive."""
        path = f"{self.path}/content?fence={self.fence}"
        async with self.client.put(path, data=body) as answer:
            return answer.status, await document(answer)

    async def complete(self, body: bytes, **said: Any) -> tuple[int, Any]:
        """The word that these bytes are in the bucket."""
        told = {**offer(body), "rendering": RENDERING, **said}
        return await self.post("complete", **told)


def offer(body: bytes) -> dict[str, Any]:
    """Bytes by digest and size."""
    return {"sha256": hashlib.sha256(body).hexdigest(), "size_bytes": len(body)}


async def post(client: Client, path: str, said: Any) -> tuple[int, Any]:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    async with client.post(path, data=body) as answer:
        return answer.status, await document(answer)


async def document(answer: aiohttp.ClientResponse) -> Any:
    """What came; an error says so as RFC 9457 wants it."""
    body = await answer.read()
    if answer.status >= 400:
        assert answer.content_type == "application/problem+json"
    return json.loads(body) if body else None


async def claimed(client: Client, **how: Any) -> Renderer:
    """A claim that finds something, as its wire says it."""
    async with client.post(CLAIM, json={"worker": "one", **how}) as answer:
        assert answer.status == 200
        return Renderer(client, msgspec.json.decode(await answer.read(), type=Commission))


async def test_a_picture_comes_through_the_archive(house: House, client: Client) -> None:
    """Claim, heartbeat, the bytes, and the word that they are there; twice is once."""
    number = await house.lose()
    renderer = await claimed(client)
    assert await renderer.post("heartbeat") == (200, {"wanted": True})
    assert await renderer.post("upload", **offer(png())) == (204, None)
    assert await renderer.send(png()) == (204, None)
    assert (await house.slot(number)).assets == ()
    for _ in range(2):
        assert await renderer.complete(png()) == (204, None)
    [asset] = (await house.slot(number)).assets
    assert (asset.rendering, asset.size_bytes, asset.width) == (DRAWN, len(png()), 8)
    assert await house.stands(number) == "rendered: drawn by the fallback renderer"


async def test_nothing_to_draw_is_no_content(house: House, client: Client) -> None:
    """204; and whoever asks by hand is refused without the words of others: 409."""
    assert await post(client, CLAIM, {"kind": "render", "worker": "one"}) == (204, None)
    status, problem = await post(client, CLAIM, {"worker": "one", "number": 7})
    assert (status, problem["detail"]) == (
        409,
        "that slot is not to be drawn, or is being drawn",
    )


async def test_a_verdict_is_told(house: House, client: Client) -> None:
    """And the renderer of a drawing that is no longer wanted learns it."""
    number = await house.lose()
    renderer = await claimed(client)
    assert await renderer.post("fail", verdict="refused", reason="no") == (204, None)
    assert await house.stands(number) == "held: not drawn: no"
    renderer = await claimed(client, fresh=True)
    await house.store("fox", 0, png(3))
    assert await renderer.post("heartbeat") == (200, {"wanted": False})


async def test_a_lost_lease_is_a_conflict_everywhere(house: House, client: Client) -> None:
    """409 with the reason, whatever is asked; and no bytes are taken in."""
    await house.lose()
    renderer = await claimed(client)
    house.clock.advance(seconds=3600)
    await claimed(client)
    answers = [
        await renderer.post("heartbeat"),
        await renderer.post("fail", verdict="retry", reason=""),
        await renderer.post("upload", **offer(png())),
        await renderer.send(png()),
        await renderer.complete(png()),
    ]
    assert {status for status, _ in answers} == {409}
    assert {problem["detail"] for _, problem in answers} == {
        "render job 1: the lease passed to another renderer"
    }
    assert [key async for key in house.blobs.list("")] == []


async def test_bytes_that_nobody_wants_are_not_taken_in(house: House, client: Client) -> None:
    """409 as soon as the drawing is cancelled, by whatever way they would come."""
    await house.lose()
    renderer = await claimed(client)
    original = await house.store("fox", 0, png(3))
    answers = [
        await renderer.post("upload", **offer(png())),
        await renderer.send(png()),
        await renderer.complete(png()),
    ]
    assert [status for status, _ in answers] == [409] * 3
    assert answers[0][1]["detail"] == "render job 1: no longer wanted"
    assert [key async for key in house.blobs.list("")] == [original.blob_key]


MALFORMED = {
    "no JSON": (b"{worker", "byte 1"),
    "cut off": (b'{"worker": "one"', "truncated"),
    "no UTF-8": (b'{"worker": "\xff"}', "byte"),
    "no object": (b"[]", "Expected `object`"),
    "no name": (b"{}", "`worker`"),
    "another kind": (b'{"worker": "one", "kind": "fetch"}', "`$.kind`"),
    "no number": (b'{"worker": "one", "number": "1"}', "`$.number`"),
    "a number beyond all": (b'{"worker": "one", "number": 9223372036854775808}', "`$.number`"),
    "a negative one": (b'{"worker": "one", "number": -1}', "`$.number`"),
    "a bottomless pit": (b'{"worker": "one", "more": ' + b"[" * 100_000, "recursion"),
}


@pytest.mark.parametrize(("body", "place"), MALFORMED.values(), ids=MALFORMED)
async def test_what_cannot_be_understood_is_refused(
    house: House, client: Client, body: bytes, place: str
) -> None:
    """400 says where it goes wrong, and nothing is claimed."""
    number = await house.lose()
    status, problem = await post(client, CLAIM, body)
    assert (status, place in problem["detail"]) == (400, True), problem
    assert (await house.job(number))[0] == "available"


WRONG: dict[str, Callable[[Renderer], Any]] = {
    "a fence that is none": lambda it: it.post("heartbeat", fence="1"),
    "an unknown verdict": lambda it: it.post("fail", verdict="archived", reason=""),
    "a digest that is none": lambda it: it.complete(b"", sha256="../../etc"),
    "a digest in capitals": lambda it: it.complete(b"", sha256="A" * 64),
    "too many bytes": lambda it: it.post("upload", sha256="a" * 64, size_bytes=1 << 30),
    "no rendering": lambda it: it.complete(b"", rendering=None),
    "half a rendering": lambda it: it.complete(b"", rendering={"seed": 1}),
}


@pytest.mark.parametrize("ask", WRONG.values(), ids=WRONG)
async def test_what_is_wrong_in_a_commission_is_refused(
    house: House, client: Client, ask: Callable[[Renderer], Any]
) -> None:
    """400, before anything is looked at."""
    await house.lose()
    status, problem = await ask(await claimed(client))
    assert (status, "`$." in problem["detail"]) == (400, True), problem


@pytest.mark.parametrize("fence", ["", "x", "-1", "1.5", "9" * 30])
async def test_a_fence_in_the_path_is_a_number(house: House, client: Client, fence: str) -> None:
    """400 for anything else."""
    await house.lose()
    renderer = await claimed(client)
    async with client.put(f"{renderer.path}/content?fence={fence}", data=png()) as answer:
        assert (answer.status, "fence" in await answer.text()) == (400, True)


@pytest.mark.parametrize("job", ["0", "99", "9" * 18])
async def test_a_job_that_never_was_is_a_lost_lease(client: Client, job: str) -> None:
    """Nobody can tell it from one that passed on."""
    status, _ = await post(client, f"/api/v1/jobs/{job}/heartbeat", {"fence": 1})
    assert status == 409


async def test_a_fetch_is_nobodys_to_draw(house: House, client: Client) -> None:
    """Whoever guesses the id and the fence of another kind of job has no part in it."""
    slots = (SlotObservation(index=0, url=LINK),)
    await house.hear(state=GenerationState.SUCCEEDED, slots=slots)
    [job] = await house.catalog.write(
        lambda tables: tables.jobs.claim(
            JobKind.FETCH, limit=1, worker="w", lease_seconds=9, now=house.clock()
        )
    )
    path = f"/api/v1/jobs/{job.id}/heartbeat"
    assert (await post(client, path, {"fence": job.fence}))[0] == 409


@pytest.mark.parametrize("declared", [True, False])
async def test_a_picture_too_large_is_refused(
    house: House, client: Client, monkeypatch: pytest.MonkeyPatch, declared: bool
) -> None:
    """413, whether or not its size was told beforehand; the largest there may be is taken."""
    monkeypatch.setattr(wire, "MAX_PICTURE_BYTES", len(png()))
    await house.lose()
    renderer = await claimed(client)

    async def chunks() -> AsyncIterator[bytes]:
        yield png()
        yield b"x"

    assert (await renderer.send(png() + b"x" if declared else chunks()))[0] == 413
    assert [key async for key in house.blobs.list("")] == []
    assert (await renderer.send(png()))[0] == 204


async def test_a_picture_too_large_is_refused_unread(house: House, client: Client) -> None:
    """Who says beforehand how large it is need not send it."""
    await house.lose()
    renderer = await claimed(client)

    async def begun() -> AsyncIterator[bytes]:
        yield png()
        await asyncio.Event().wait()

    async with client.put(
        f"{renderer.path}/content?fence=1",
        data=begun(),
        headers={"Content-Length": str(wire.MAX_PICTURE_BYTES + 1)},
    ) as answer:
        assert answer.status == 413


@pytest.mark.parametrize("body", [b"", JPEG, png()[:-4], b"GIF89a"], ids=range(4))
async def test_what_is_no_whole_png_is_not_taken(house: House, client: Client, body: bytes) -> None:
    """422 as soon as it is said to be one, and nothing of it stays."""
    await house.lose()
    renderer = await claimed(client)
    assert await renderer.send(body) == (204, None)
    assert (await renderer.complete(body))[0] == 422
    assert [key async for key in house.blobs.list("")] == []


async def test_of_all_that_a_lease_brings_one_picture_stays(house: House, client: Client) -> None:
    """And none where it ends without."""
    await house.lose()
    renderer = await claimed(client)
    for number in range(3):
        await renderer.send(png(number))
    assert [key async for key in house.blobs.list("")] == [f"uploads/1-{renderer.fence}"]
    assert (await renderer.complete(png(0)))[0] == 422
    await renderer.send(png(0))
    assert await renderer.post("fail", verdict="released", reason="") == (204, None)
    assert [key async for key in house.blobs.list("")] == []


async def test_a_lie_about_the_size_harms_nobody(house: House, client: Client) -> None:
    """What another slot has, or is about to have, under the same digest stays where it is."""
    await house.lose("one")
    await house.lose("two")
    honest, liar = await claimed(client), await claimed(client)
    await honest.send(png())
    await honest.complete(png())
    kept = {key async for key in house.blobs.list("")}
    await liar.send(png())
    assert (await liar.complete(png(), size_bytes=1))[0] == 422
    assert kept == {key async for key in house.blobs.list("")}


async def test_one_lease_brings_one_picture_at_a_time(house: House, client: Client) -> None:
    """So that no number of connections takes the memory that all share."""
    await house.lose()
    renderer = await claimed(client)
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield png()[:9]
        begun.set()
        await goes_on.wait()
        yield png()[9:]

    first = asyncio.create_task(renderer.send(slow()))
    await begun.wait()
    # What is refused in any case, should it come before the other.
    while (await renderer.send(b"no picture"))[0] != 409:
        assert not first.done()
    goes_on.set()
    assert await first == (204, None)
    assert (await renderer.complete(png()))[0] == 204


async def test_a_picture_that_does_not_come_is_not_waited_for(
    house: House, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the memory kept that was reserved for it."""
    monkeypatch.setattr(jobs, "_SILENCE_SECONDS", 0.1)
    await house.lose()
    renderer = await claimed(client)

    async def begun() -> AsyncIterator[bytes]:
        yield png()[:9]
        await asyncio.Event().wait()

    status, problem = await renderer.send(begun())
    assert (status, problem["detail"]) == (422, "the picture came too slowly")


async def test_what_dead_leases_left_is_swept_away(house: House, client: Client) -> None:
    """What a living one has put aside is not."""
    await house.lose("one")
    dead = await claimed(client)
    await dead.send(png(1))
    house.clock.advance(seconds=3600)
    living = await claimed(client)
    await living.send(png(2))
    assert await sweep(house.blobs, house.reader) == 1
    assert [key async for key in house.blobs.list("")] == [f"uploads/1-{living.fence}"]
    assert (await living.complete(png(2)))[0] == 204


async def test_what_a_renderer_says_is_cut_and_holds_no_secret(
    house: House, client: Client
) -> None:
    """It stands wherever the picture is spoken of."""
    number = await house.lose()
    renderer = await claimed(client)
    await renderer.send(png())
    told = {**RENDERING, "device": "x" * 9999, "notes": ["https://u:pw@host/a?sig=hush"] * 999}
    assert (await renderer.complete(png(), rendering=told))[0] == 204
    [asset] = (await house.slot(number)).assets
    assert asset.rendering is not None
    assert (len(asset.rendering.device), len(asset.rendering.notes)) == (500, 100)
    assert not [note for note in asset.rendering.notes if "hush" in note or "pw" in note]


@pytest.mark.parametrize(
    "more",
    [{"negative_prompt": "a hen"}, {"task": "video"}, {"model": "zzz", "steps": 9}],
    ids=str,
)
async def test_what_was_asked_otherwise_meanwhile_is_not_taken(
    house: House, client: Client, more: dict[str, Any]
) -> None:
    """The renderer is told to stop, and whoever is next draws what is asked now."""
    number = await house.lose()
    renderer = await claimed(client)
    await house.hear(state=GenerationState.RUNNING, params=GenerationParams(**more))
    assert await renderer.post("heartbeat") == (200, {"wanted": False})
    await renderer.send(png())
    assert (await renderer.complete(png()))[0] == 409
    assert (await house.slot(number)).assets == ()
    await renderer.post("fail", verdict="released", reason="")
    asked = (await house.claim()).generation.params
    assert {name: getattr(asked, name) for name in more} == more


async def test_what_is_trouble_again_and_again_is_refused(house: House, client: Client) -> None:
    """Ten drawings are enough; a person or a renderer that starts anew may try again."""
    number = await house.lose()
    for _ in range(10):
        renderer = await claimed(client)
        await renderer.post("fail", verdict="retry", reason="no memory")
        house.clock.advance(seconds=3600)
    assert await house.stands(number) == "held: not drawn: tried 10 times; no memory"


async def test_what_has_not_come_cannot_be_completed(house: House, client: Client) -> None:
    """422; the bytes first."""
    number = await house.lose()
    renderer = await claimed(client)
    status, problem = await renderer.complete(png())
    assert (status, problem["detail"]) == (422, "the picture has not come")
    await renderer.send(png())
    assert (await renderer.complete(png(), size_bytes=1))[0] == 422
    assert (await house.slot(number)).assets == ()


async def test_a_full_disk_is_our_trouble(house: House, client: Client) -> None:
    """503: the same may be tried again."""
    await house.lose()
    renderer = await claimed(client)
    (house.folder / "bucket").write_text("a file where the bucket should be")
    for status, problem in (await renderer.send(png()), await renderer.complete(png())):
        assert (status, "bucket" in problem["detail"]) == (503, True)


async def test_without_a_catalog_it_is_our_trouble(house: House, client: Client) -> None:
    """503: the role that makes it has perhaps not come so far."""
    await house.catalog.write(lambda tables: tables.connection.execute("DROP TABLE jobs"))
    status, _ = await post(client, CLAIM, {"worker": "one"})
    assert status == 503


async def test_the_requests_own_pictures_are_given(house: House, client: Client) -> None:
    """Their bytes with their type; 404 for anything else in the bucket."""
    await house.lose(inputs=(InputObservation(role="init_image", url=LINK),))
    commission = await house.claim()
    index = commission.generation.slots[0].index
    own = await house.store("fox", index, JPEG)
    renderer = Renderer(client, commission)
    async with client.get(f"{renderer.path}/pictures/{own.blob_key}?fence=1") as answer:
        assert (answer.status, await answer.read()) == (200, JPEG)
        assert answer.content_type == "image/jpeg"
    async with client.head(f"{renderer.path}/pictures/{own.blob_key}?fence=1") as answer:
        assert (answer.status, answer.content_length) == (200, len(JPEG))
    for key in (own.blob_key.replace("jpg", "png"), "..%2Fcatalog.db"):
        path = URL(f"{renderer.path}/pictures/{key}?fence=1", encoded=True)
        async with client.get(path) as answer:
            assert answer.status == 404
    async with client.get(f"{renderer.path}/pictures/{own.blob_key}?fence=2") as answer:
        assert answer.status == 409


# Straight into the bucket -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto() -> Any:
    with serve_moto() as endpoint:
        make_bucket(endpoint, "archive")
        yield endpoint


@pytest.fixture
async def far(tmp_path: Path, moto: str) -> AsyncIterator[House]:
    """A house whose bucket a renderer can reach itself."""
    blobs = S3Blobs("archive", prefix=tmp_path.name, endpoint=moto, session=session())
    async with open_house(tmp_path, blobs) as house:
        yield house
    await blobs.close()


async def put(upload: Any, body: bytes) -> int:
    """What the bucket answers whoever was given that way into it."""
    async with (
        aiohttp.ClientSession() as session,
        session.put(
            URL(upload["url"], encoded=True), data=body, headers=upload["headers"]
        ) as answer,
    ):
        return answer.status


async def test_a_picture_goes_straight_into_the_bucket(far: House) -> None:
    """Aside, from where the archive takes it; a second way in is closed."""
    number = await far.lose()
    async with speaking(far) as client:
        renderer = await claimed(client)
        status, upload = await renderer.post("upload", **offer(png()))
        assert status == 200
        assert await put(upload, png()) == 200
        assert await put(upload, png()) == 412
        assert await renderer.complete(png()) == (204, None)
    [asset] = (await far.slot(number)).assets
    head = await far.blobs.head(asset.blob_key)
    assert head is not None
    assert head.metadata["origin"] == "fallback"
    assert asset.blob_key == blob_key(hashlib.sha256(png()).digest(), "png")


LIES = {
    "other bytes": (png(1), png(2)),
    "no PNG": (JPEG, JPEG),
    "half a PNG": (png()[:-6], png()[:-6]),
}


@pytest.mark.parametrize(("offered", "sent"), LIES.values(), ids=LIES)
async def test_what_is_not_what_was_offered_is_taken_away(
    far: House, offered: bytes, sent: bytes
) -> None:
    """422, no slot ever claims it, and the true bytes can still come."""
    number = await far.lose()
    async with speaking(far) as client:
        renderer = await claimed(client)
        _, upload = await renderer.post("upload", **offer(offered))
        assert await put(upload, sent + b" " * (len(offered) - len(sent))) == 200
        assert (await renderer.complete(offered))[0] == 422
        assert [key async for key in far.blobs.list("")] == []
        assert (await far.slot(number)).assets == ()
        assert (await renderer.send(png()))[0] == 204
        assert (await renderer.complete(png()))[0] == 204


async def test_what_a_slot_claims_is_never_taken_away(far: House) -> None:
    """Damaged or not, it is for the audit to judge; nobody else draws from it."""
    await far.lose("one")
    await far.complete(await far.claim(), png(1))
    [key] = [key async for key in far.blobs.list("")]
    await far.blobs.put(key, b"damaged", media_type="image/png", metadata={}, replace=True)
    await far.lose("two")
    async with speaking(far) as client:
        renderer = await claimed(client)
        assert (await renderer.complete(png(1)))[0] == 422
    assert [key async for key in far.blobs.list("")] == [key]


async def test_a_picture_is_fetched_straight_from_the_bucket(far: House) -> None:
    """302 to a URL that nobody keeps, and the bytes behind it."""
    await far.lose(inputs=(InputObservation(role="init_image", url=LINK),))
    commission = await far.claim()
    own = await far.store("fox", commission.generation.slots[0].index, JPEG)
    async with speaking(far) as client:
        path = f"{Renderer(client, commission).path}/pictures/{own.blob_key}?fence=1"
        async with client.get(path, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Cache-Control"]) == (302, "no-store")
            location = URL(answer.headers["Location"], encoded=True)
    async with aiohttp.ClientSession() as session, session.get(location) as answer:
        assert await answer.read() == JPEG
