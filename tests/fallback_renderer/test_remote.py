"""The desk over HTTP is the archive's own, seen from afar, whatever its server or bucket do."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import Image

from archiver import clock
from archiver.blobs import BlobStore
from archiver.blobs.s3 import S3Blobs
from archiver.desk import Commission, Verdict, wire
from archiver.errors import (
    BucketError,
    CatalogUnavailableError,
    ConfigError,
    FetchError,
    LeaseLostError,
    NotOfferedError,
)
from archiver.models import Fault, InputObservation, SlotObservation
from archiver.web.jobs import JobsApi
from fallback_renderer.remote import HttpDesk
from receiver.access import Keyring, guard
from receiver.peers import FailureLimit
from receiver.private import MAX_REQUEST_BYTES, Remembered, private_app
from receiver.readiness import Readiness
from receiver.settings import Token
from tests.archiver.moto_server import make_bucket, serve_moto, session
from tests.contracts.desk import DRAWN, LINK, DeskContract, House, open_house, png

SECRET = "a long random secret of the renderer's"
TOKENS = {"gpu": Token(sha256=hashlib.sha256(SECRET.encode()).hexdigest(), scopes=("worker",))}
KEY = "blobs/sha256/aa/" + "a" * 64 + ".png"


@asynccontextmanager
async def served(
    folder: Path, blobs: BlobStore | None = None, *, asked: list[str] | None = None
) -> AsyncIterator[House]:
    """An archive behind the real private listener's application, and a renderer's desk to it.

    `asked` hears the end of each path that is asked for.
    """

    async def note(request: web.Request, response: web.StreamResponse) -> None:
        if asked is not None:
            asked.append(request.path.rpartition("/")[2])

    async with open_house(folder, blobs) as house:
        keyring = Keyring(TOKENS, FailureLimit(0), (), monotonic=clock.monotonic)
        app = private_app(
            archive=JobsApi(house.archive).routes(),
            remembered=Remembered(None, now=house.clock),  # nobody remembers anything here
            readiness=Readiness(house.archive.claim, monotonic=clock.monotonic),
            guard=guard("192.0.2.1", keyring),
            metrics=bytes,
        )
        app.on_response_prepare.append(note)
        async with TestServer(app) as server, HttpDesk(str(server.make_url("/")), SECRET) as desk:
            yield replace(house, desk=desk)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with served(tmp_path) as house:
        yield house


class TestOverHttp(DeskContract):
    """Pictures go through the archive, for its bucket is a folder."""

    told_instead = "is not to be drawn, or is being drawn"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with serve_moto() as endpoint:
        yield endpoint


async def test_a_bucket_that_takes_pictures_is_given_them(tmp_path: Path, moto: str) -> None:
    """S3 signs for both ways: what is drawn goes straight there, and what it is drawn from comes
    from there, without passing through the archive."""
    blobs = S3Blobs(
        bucket=make_bucket(moto, "straight"), endpoint=moto, session=session(), prefix=""
    )
    asked: list[str] = []
    async with served(tmp_path, blobs, asked=asked) as house:
        named = (InputObservation(role="init_image", url=LINK),)
        number = await house.lose(inputs=named)
        given = await house.slot(number - 1)
        own = await house.store("fox", given.index, png(7))
        commission = await house.claim()
        chunks = house.desk.picture(commission, own.blob_key)
        assert b"".join([chunk async for chunk in chunks]) == png(7)
        await house.complete(commission, png(9))
        assert await house.stands(number) == "rendered: drawn by the fallback renderer"
        assert asked == ["claim", own.blob_key.rpartition("/")[2], "upload", "complete"]
    await blobs.close()


async def test_a_picture_may_be_larger_than_any_other_request(house: House) -> None:
    """It is streamed, and held to no bound but its own."""
    number = await house.lose()
    file = BytesIO()
    Image.effect_noise((1500, 1500), 80).save(file, "PNG")
    assert file.tell() > 2 * MAX_REQUEST_BYTES
    await house.complete(await house.claim(), file.getvalue())
    [asset] = (await house.slot(number)).assets
    assert asset.size_bytes == file.tell()


@dataclass
class Server:
    """Answers as it is told, by the end of the path, and remembers what it was asked."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None, bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        body, bearer = await request.read(), request.headers.get("Authorization")
        self.asked.append((request.method, name, bearer, body))
        told = self.answers.get(name, 204)
        if isinstance(told, int):
            return web.json_response({"detail": f"no {name}"}, status=told)
        if isinstance(told, dict):
            return web.Response(status=302, headers=told)
        return web.Response(body=told if isinstance(told, bytes) else msgspec.json.encode(told))


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server that is nobody's archive."""
    scripted = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", scripted.answer)
    async with TestServer(app) as running:
        scripted.url = str(running.make_url("/"))
        yield scripted


@pytest.fixture
async def desk(server: Server) -> AsyncIterator[HttpDesk]:
    async with HttpDesk(server.url, SECRET) as desk:
        yield desk


@pytest.fixture
async def commission(tmp_path: Path) -> Commission:
    """One of another archive."""
    async with open_house(tmp_path) as house:
        await house.lose()
        return await house.claim()


async def call(desk: HttpDesk, commission: Commission, method: str, file: Path) -> object:
    """One of the desk's methods, with anything that it can be told."""
    file.write_bytes(png())
    if method == "claim":
        return await desk.claim("one")
    if method == "keep":
        return await desk.keep(commission)
    if method == "fail":
        return await desk.fail(commission, Verdict.REFUSED, "no")
    if method == "picture":
        return b"".join([chunk async for chunk in desk.picture(commission, KEY)])
    return await desk.complete(commission, file, DRAWN)


ENDPOINTS = {
    "claim": "claim",
    "keep": "heartbeat",
    "fail": "fail",
    "complete": "upload",
    "picture": KEY.rpartition("/")[2],
}
REFUSALS = [
    (401, ConfigError, r'refuses the token \(no \S+\): let its .* scopes = \["worker"\]'),
    (403, ConfigError, "refuses the token"),
    (500, CatalogUnavailableError, r"answered 500 \(no"),
    (502, CatalogUnavailableError, "answered 502"),
    (503, CatalogUnavailableError, "answered 503"),
    (429, CatalogUnavailableError, "answered 429"),
]


@pytest.mark.parametrize("method", ENDPOINTS)
@pytest.mark.parametrize(("status", "error", "says"), REFUSALS)
async def test_what_a_refusal_means(
    server: Server,
    desk: HttpDesk,
    commission: Commission,
    tmp_path: Path,
    method: str,
    status: int,
    error: type[Exception],
    says: str,
) -> None:
    """A token that is not taken is the operator's to mend; all other trouble passes."""
    server.answers = {ENDPOINTS[method]: status}
    with pytest.raises(error, match=says):
        await call(desk, commission, method, tmp_path / "a.png")


OWN_REFUSALS = [
    ("claim", {"claim": 409}, NotOfferedError),
    ("keep", {"heartbeat": 409}, LeaseLostError),
    ("fail", {"fail": 409}, LeaseLostError),
    ("complete", {"upload": 409, "complete": 409}, LeaseLostError),
    ("complete", {"content": 409, "complete": 409}, LeaseLostError),
    ("complete", {"complete": 422}, FetchError),
    ("complete", {"content": 413}, FetchError),
    ("complete", {"complete": 400}, FetchError),
    ("fail", {"fail": 400}, FetchError),
    ("picture", {KEY.rpartition("/")[2]: 404}, NotOfferedError),
    ("claim", {"claim": 404}, CatalogUnavailableError),
    ("claim", {"claim": {"Location": "/login"}}, CatalogUnavailableError),
    ("claim", {"claim": b"<html>"}, CatalogUnavailableError),
    ("keep", {"heartbeat": b"{}"}, CatalogUnavailableError),
    ("complete", {"upload": b"[]"}, CatalogUnavailableError),
]


@pytest.mark.parametrize(("method", "answers", "error"), OWN_REFUSALS)
async def test_what_an_odd_answer_means(
    server: Server,
    desk: HttpDesk,
    commission: Commission,
    tmp_path: Path,
    method: str,
    answers: dict[str, Any],
    error: type[Exception],
) -> None:
    """A conflict is a lost lease or a slot that is not to be had; no page is an answer."""
    server.answers = answers
    with pytest.raises(error):
        await call(desk, commission, method, tmp_path / "a.png")


@pytest.mark.parametrize("method", ENDPOINTS)
async def test_a_server_that_is_not_there_may_come_back(
    commission: Commission, tmp_path: Path, method: str
) -> None:
    """It is said which; nothing more was done."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with HttpDesk(url, SECRET) as desk:
        with pytest.raises(CatalogUnavailableError, match=f"{url} cannot be reached: "):
            await call(desk, commission, method, tmp_path / "a.png")


async def test_the_bucket_is_told_no_token(
    server: Server, desk: HttpDesk, commission: Commission, tmp_path: Path
) -> None:
    """A presigned request carries the headers that were signed, and nothing of the archive's."""
    signed = f"{server.url}bucket/signed?X-Amz-Signature=s"
    server.answers = {
        "upload": wire.Upload(url=signed, headers={"Content-Length": str(len(png()))}),
        KEY.rpartition("/")[2]: {"Location": signed},
        "signed": b"from the bucket",
    }
    bearer = f"Bearer {SECRET}"
    assert await call(desk, commission, "picture", tmp_path / "a.png") == b"from the bucket"
    await call(desk, commission, "complete", tmp_path / "a.png")
    asked = [(method, name, told) for method, name, told, _ in server.asked]
    assert asked == [
        ("GET", KEY.rpartition("/")[2], bearer),
        ("GET", "signed", None),
        ("POST", "upload", bearer),
        ("PUT", "signed", None),
        ("POST", "complete", bearer),
    ]
    assert server.asked[3][3] == png()


@pytest.mark.parametrize("status", [301, 403, 500])
async def test_a_picture_that_the_bucket_will_not_take_goes_through_the_archive(
    server: Server, desk: HttpDesk, commission: Commission, tmp_path: Path, status: int
) -> None:
    """Which may be the only one that reaches it."""
    upload = wire.Upload(url=f"{server.url}bucket/signed?X-Amz-Signature=hush", headers={})
    server.answers = {"upload": upload, "signed": status}
    await call(desk, commission, "complete", tmp_path / "a.png")
    asked = [name for _, name, _, _ in server.asked]
    assert asked == ["upload", "signed", "content", "complete"]
    assert server.asked[2][3] == png()


async def test_a_picture_that_is_there_already_is_not_sent_twice(
    server: Server, desk: HttpDesk, commission: Commission, tmp_path: Path
) -> None:
    """412: the same bytes lie under their digest."""
    server.answers = {
        "upload": wire.Upload(url=f"{server.url}bucket/signed", headers={}),
        "signed": 412,
    }
    await call(desk, commission, "complete", tmp_path / "a.png")
    assert [name for _, name, _, _ in server.asked] == ["upload", "signed", "complete"]


async def test_a_bucket_that_gives_no_picture_is_in_trouble(
    server: Server, desk: HttpDesk, commission: Commission, tmp_path: Path
) -> None:
    """Its name is said, and never the key in the URL."""
    server.answers = {
        KEY.rpartition("/")[2]: {"Location": f"{server.url}bucket/signed?X-Amz-Signature=hush"},
        "signed": 403,
    }
    with pytest.raises(BucketError, match=r"^the bucket at 127\.0\.0\.1 answered 403$"):
        await call(desk, commission, "picture", tmp_path / "a.png")


async def test_a_picture_that_the_archive_cannot_store_is_ours(house: House) -> None:
    """Bucket or disk are out: the same picture may be brought again."""
    await house.lose()
    commission = await house.claim()
    (house.folder / "bucket").write_bytes(b"no folder any more")
    with pytest.raises((CatalogUnavailableError, FetchError)) as trouble:
        await house.complete(commission)
    assert getattr(trouble.value, "fault", Fault.OURS) is Fault.OURS
    (house.folder / "bucket").unlink()
    await house.complete(commission)


SERVERS = {
    "in the clear": ("http://archive.example.org", "would send the token in the clear"),
    "no URL": ("archive.example.org", "is not https://host"),
    "another protocol": ("ftp://archive.example.org", "is not https://host"),
    "no host": ("https://", "is not https://host"),
    "a broken host": ("https://[::1", "is not https://host"),
    "a query": ("https://archive.example.org/?a", "is not https://host"),
    "a user": ("https://user:hush@archive.example.org/", "is not https://host"),
}


@pytest.mark.parametrize(("server", "says"), SERVERS.values(), ids=SERVERS)
def test_a_token_is_sent_to_nowhere_but_a_server(server: str, says: str) -> None:
    """One that others cannot overhear."""
    with pytest.raises(ConfigError, match=f"--server = .* {says}") as refused:
        HttpDesk(server, SECRET)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("server", "allow_http"),
    [
        ("https://archive.example.org", False),
        ("https://archive.example.org/behind/a/proxy/", False),
        ("http://127.0.0.1:8081", False),
        ("http://[::1]:8081/", False),
        ("http://localhost:8081", False),
        ("http://archive.lan:8081", True),
    ],
)
def test_a_server_that_will_do(server: str, allow_http: bool) -> None:
    """TLS, this machine, or a network that is the operator's own."""
    HttpDesk(server, SECRET, allow_http=allow_http)


async def test_what_is_lost_reaches_a_renderer_elsewhere(house: House) -> None:
    """With all that drawing takes, text and numbers of any size as they were heard."""
    await house.lose(prompt="ein Fuchs ❄", slots=(SlotObservation(index=1, url=LINK),))
    commission = await house.claim()
    assert commission == await house.archive.recall(commission.job_id, commission.fence)
