"""The gateway passes all on as it was, and keeps what matters before the answer goes back."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from archiver.models import GenerationState, Heard
from receiver import exchange
from receiver.accounts import open_accounts
from receiver.providers import observations
from tests.receiver.roles_in_process import Role, passing_on

KEY = "sk-0123456789abcdef"
TOKEN = "studio token"
LINK = "https://dashscope-result-bj.oss-cn-beijing.aliyuncs.com/a.png?Expires=4102444800"
SUBMIT = "/api/v1/services/aigc/text2image/image-synthesis"
SUBMITTED = {"output": {"task_status": "PENDING", "task_id": "t1"}, "request_id": "r1"}
REQUEST = {
    "model": "stable-diffusion-xl",
    "input": {"prompt": "a cat"},
    "parameters": {"n": 2, "seed": 7},
}


class Provider:
    """A provider that remembers what it was asked, and answers as it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, list[tuple[str, str]], bytes]] = []
        self.port = 0
        self.answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] = self.submitted

    async def submitted(self, _request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(SUBMITTED)

    def says(self, body: Any, **more: Any) -> None:
        """From now on it answers so."""

        async def answer(_request: web.BaseRequest) -> web.StreamResponse:
            return web.json_response(body, **more)

        self.answer = answer

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = [(name.decode(), value.decode()) for name, value in request.raw_headers]
        self.asked.append((request.method, request.raw_path, headers, await request.read()))
        return await self.answer(request)

    def shown(self, name: str) -> list[str]:
        """The values of that header in the last request."""
        return [value for found, value in self.asked[-1][2] if found.lower() == name.lower()]


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """On a port of its own."""
    provider = Provider()
    runner = web.ServerRunner(web.Server(provider.handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.port = runner.addresses[0][1]
    yield provider
    await runner.cleanup()


@asynccontextmanager
async def gateway(folder: Path, port: int, **tables: Any) -> AsyncIterator[Role]:
    """A gateway to DashScope on that port."""
    dashscope = {"base_url": f"http://127.0.0.1:{port}", "gateway": True}
    clients = {"studio": sha256(TOKEN.encode()).hexdigest()}
    shared = {"gateway": {"clients": clients, **tables.pop("gateway", {})}}
    async with passing_on(folder, providers={"dashscope": dashscope}, **shared, **tables) as role:
        yield role


@asynccontextmanager
async def asked(
    role: Role, path: str = SUBMIT, *, method: str = "POST", **said: Any
) -> AsyncIterator[aiohttp.ClientResponse]:
    """An answer through the gateway, its body undecoded."""
    headers = {"Authorization": f"Bearer {KEY}", **said.pop("headers", {})}
    url = URL(f"{role.url}/gateway/dashscope{path}", encoded=True)
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.request(method, url, headers=headers, **said) as answer,
    ):
        yield answer


class TestPassingOn:
    """What the provider hears, and what the client."""

    async def test_a_request_arrives_as_it_was_sent(
        self, tmp_path: Path, provider: Provider
    ) -> None:
        """Method, path with its escapes, query, headers and body; of the hop only its own."""
        headers = {
            "X-DashScope-Async": "enable",
            "Content-Type": "application/json",
            "User-Agent": "dashscope/2",
            "Connection": "X-Hop",
            "X-Hop": "mine",
            "Accept-Encoding": "gzip, br;q=0.9, deflate",
        }
        path = f"{SUBMIT}/a%2Fb%20c?x=%2B+1&y"
        async with (
            gateway(tmp_path, provider.port) as role,
            asked(role, path, headers=headers, data=b'{"odd"  : 1}') as answer,
        ):
            assert answer.status == 200

        [(method, found, _, body)] = provider.asked
        assert (method, found, body) == ("POST", path, b'{"odd"  : 1}')
        assert provider.shown("Authorization") == [f"Bearer {KEY}"]
        assert provider.shown("X-DashScope-Async") == ["enable"]
        assert provider.shown("User-Agent") == ["dashscope/2"]
        assert provider.shown("Host") == [f"127.0.0.1:{provider.port}"]
        assert provider.shown("X-Hop") == []
        assert provider.shown("Accept") == ["*/*"]  # of the client, not of ours
        assert provider.shown("Accept-Encoding") == ["gzip, deflate"]

    async def test_an_answer_arrives_as_it_was_given(
        self, tmp_path: Path, provider: Provider
    ) -> None:
        """Status, reason, headers that come twice, and the encoded bytes."""
        packed = gzip.compress(json.dumps(SUBMITTED).encode())

        async def answer(_request: web.BaseRequest) -> web.StreamResponse:
            response = web.Response(
                status=418, reason="Short and stout", body=packed, headers={"X-Request-Id": "r1"}
            )
            response.headers["Content-Encoding"] = "gzip"
            response.headers.add("Set-Cookie", "a=1")
            response.headers.add("Set-Cookie", "b=2")
            return response

        provider.answer = answer
        async with gateway(tmp_path, provider.port) as role, asked(role, json=REQUEST) as heard:
            assert (heard.status, heard.reason) == (418, "Short and stout")
            assert heard.headers.getall("Set-Cookie") == ["a=1", "b=2"]
            assert heard.headers["X-Request-Id"] == "r1"
            assert await heard.read() == packed

    async def test_what_is_of_no_concern_streams(self, tmp_path: Path, provider: Provider) -> None:
        """Each piece goes on as it comes, and nothing of it is kept."""
        got_first = asyncio.Event()

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b"data: one\n\n")
            await got_first.wait()
            await response.write(b"data: two\n\n")
            return response

        provider.answer = answer
        path = "/api/v1/services/aigc/text-generation/generation"
        async with gateway(tmp_path, provider.port) as role:
            async with asked(role, path, json={}) as heard:
                assert await heard.content.readany() == b"data: one\n\n"
                got_first.set()
                assert await heard.content.read() == b"data: two\n\n"
            assert role.stored() == []

    @pytest.mark.parametrize("path", ["/api/v1/files", SUBMIT])
    async def test_an_answer_cut_short_is_cut_short(
        self, tmp_path: Path, provider: Provider, path: str
    ) -> None:
        """Nobody takes half of it for the whole, and clients that try again do so."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            response.content_length = 100
            await response.prepare(request)
            await response.write(b"half")
            assert request.transport is not None
            request.transport.abort()
            return response

        provider.answer = answer
        async with gateway(tmp_path, provider.port) as role:
            with pytest.raises(aiohttp.ClientError):
                async with asked(role, path, json=REQUEST) as heard:
                    await heard.read()
            assert role.stored() == []

    async def test_a_provider_out_of_reach(self, tmp_path: Path, provider: Provider) -> None:
        """Is told as ours to say, in words that hold no path."""
        async with gateway(tmp_path, 1) as role, asked(role, json=REQUEST) as heard:
            assert heard.status == 502
            assert heard.headers["X-Holdfast-Error"] == "unreachable"
            assert "127.0.0.1 gave no answer" in (await heard.json())["error"]["message"]

    async def test_a_body_beyond_measure(self, tmp_path: Path, provider: Provider) -> None:
        """Is refused before anything is sent."""
        small = {"max_body_bytes": 100}
        async with (
            gateway(tmp_path, provider.port, gateway=small) as role,
            asked(role, data=b"x" * 101) as heard,
        ):
            assert heard.status == 413
        assert provider.asked == []

    @pytest.mark.parametrize(
        ("allowed", "path", "status"),
        [
            ("127.0.0.0/8", f"/gateway/dashscope{SUBMIT}", 200),
            ("10.0.0.0/8", f"/gateway/dashscope{SUBMIT}", 404),
            ("10.0.0.0/8", f"/gateway/studio%20token/dashscope{SUBMIT}", 200),
            ("10.0.0.0/8", f"/gateway/studio/dashscope{SUBMIT}", 404),
            ("127.0.0.0/8", "/gateway/doitong/graphql", 404),
            ("127.0.0.0/8", "/", 404),
            ("127.0.0.0/8", "/readyz", 200),
        ],
    )
    async def test_only_who_may(
        self, tmp_path: Path, provider: Provider, allowed: str, path: str, status: int
    ) -> None:
        """By address or by token, and to configured providers only."""
        only = {"allow_cidrs": [allowed]}
        async with (
            gateway(tmp_path, provider.port, gateway=only) as role,
            aiohttp.ClientSession() as session,
            session.get(URL(f"{role.url}{path}", encoded=True)) as heard,
        ):
            assert heard.status == status


class TestOverhearing:
    """What is kept, and what never is."""

    async def test_a_submission_is_kept_with_what_it_asked_for(
        self, tmp_path: Path, provider: Provider
    ) -> None:
        """Before its answer goes back: the answer is here, so the delivery is."""
        async with gateway(tmp_path, provider.port) as role:
            async with asked(role, json=REQUEST) as heard:
                assert await heard.json() == SUBMITTED
                [delivery] = role.stored()

            [seen] = observations(delivery)
        assert (delivery.source, delivery.heard) == ("dashscope", Heard.OVERHEARD)
        assert (seen.generation_id, seen.state) == ("t1", GenerationState.QUEUED)
        assert (seen.params.prompt, seen.params.seed, seen.params.samples) == ("a cat", 7, 2)
        assert seen.account == open_accounts(tmp_path).fingerprint("dashscope", KEY)

    async def test_no_key_is_kept_anywhere(self, tmp_path: Path, provider: Provider) -> None:
        """Not in the inbox, its log, or any other file, wherever a client or an answer put it."""
        provider.says({**SUBMITTED, "echo": f"Bearer {KEY}"})
        sneaky = {**REQUEST, "key": KEY, "note": [f"my key is {KEY}"]}
        path = f"{SUBMIT}?api_key={KEY}"
        async with (
            gateway(tmp_path, provider.port) as role,
            asked(role, path, json=sneaky, headers={"X-Api-Key": KEY}) as heard,
        ):
            assert heard.status == 200
            assert len(role.stored()) == 1
            files = [path for path in tmp_path.rglob("*") if path.is_file()]
            assert any(path.name.endswith("-wal") for path in files)
            assert [path.name for path in files if KEY.encode() in path.read_bytes()] == []

    async def test_the_same_answer_again_is_not_kept_again(
        self, tmp_path: Path, provider: Provider
    ) -> None:
        """Clients ask every second; each change is kept once, its request ids notwithstanding."""
        path, states = "/api/v1/tasks/t1", ["RUNNING", "RUNNING", "RUNNING", "SUCCEEDED"]
        async with gateway(tmp_path, provider.port) as role:
            for number, state in enumerate(states):
                output = {"task_id": "t1", "task_status": state, "results": [{"url": LINK}]}
                provider.says({"output": output, "request_id": f"r{number}"})
                async with asked(role, path, method="GET") as heard:
                    assert heard.status == 200
            kept = [exchange.decode(one.body or b"") for one in role.stored()]
        assert [json.loads(one.answer)["request_id"] for one in kept] == ["r0", "r3"]

    @pytest.mark.parametrize("status", [429, 500, 503])
    async def test_a_passing_trouble_tells_nothing(
        self, tmp_path: Path, provider: Provider, status: int
    ) -> None:
        """A submission refused for it began nothing."""
        provider.says({"code": "Throttling"}, status=status)
        async with gateway(tmp_path, provider.port) as role:
            async with asked(role, json=REQUEST) as heard:
                assert heard.status == status
            assert role.stored() == []

    async def test_an_encoded_answer_is_kept_decoded(
        self, tmp_path: Path, provider: Provider
    ) -> None:
        """What goes back is what came."""
        packed = gzip.compress(json.dumps(SUBMITTED).encode())

        async def answer(_request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(
                body=packed,
                headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
            )

        provider.answer = answer
        async with gateway(tmp_path, provider.port) as role:
            async with asked(role, json=REQUEST) as heard:
                assert await heard.read() == packed
            [delivery] = role.stored()
        assert json.loads(exchange.decode(delivery.body or b"").answer) == SUBMITTED

    async def test_while_nothing_can_be_kept(self, tmp_path: Path, provider: Provider) -> None:
        """The answer that was paid for goes back; what would cost money next is not sent."""
        full = {"url": f"sqlite:///{tmp_path}/catalog.db", "min_free_bytes": 1 << 60}
        async with gateway(tmp_path, provider.port, catalog=full) as role:
            async with asked(role, json=REQUEST) as heard:
                assert await heard.json() == SUBMITTED
            async with asked(role, json=REQUEST) as heard:
                assert (heard.status, heard.headers["Retry-After"]) == (503, "5")
                assert heard.headers["X-Holdfast-Error"] == "cannot_record"
            async with asked(role, "/api/v1/tasks/t1", method="GET") as heard:
                assert heard.status == 200
        assert [method for method, *_ in provider.asked] == ["POST", "GET"]

    async def test_a_large_answer_is_kept_however_it_is_packed(
        self, tmp_path: Path, provider: Provider
    ) -> None:
        """Pictures as text inflate beyond what any webhook may."""
        packed = gzip.compress(json.dumps({**SUBMITTED, "much": "x" * (9 << 20)}).encode())

        async def answer(_request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

        provider.answer = answer
        async with gateway(tmp_path, provider.port) as role:
            async with asked(role, json=REQUEST) as heard:
                assert heard.status == 200
            [seen] = observations(role.stored()[0])
        assert seen.generation_id == "t1"


async def test_a_proxy_speaks_for_whom_it_forwards(tmp_path: Path, provider: Provider) -> None:
    """Behind one on this machine everybody comes from here, and only some may."""
    async with gateway(tmp_path, provider.port) as role:
        for address, status in (("203.0.113.9", 404), ("127.0.0.1", 200)):
            async with asked(role, json=REQUEST, headers={"X-Forwarded-For": address}) as heard:
                assert heard.status == status


async def test_what_is_for_the_next_hop_is_not_passed_on(
    tmp_path: Path, provider: Provider
) -> None:
    """TRACE would show the client's key to whoever made it ask."""
    async with (
        gateway(tmp_path, provider.port) as role,
        asked(role, "/api/v1/tasks/t1", method="TRACE") as heard,
    ):
        assert heard.status == 405
    assert provider.asked == []
