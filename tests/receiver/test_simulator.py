"""The practice provider on its good days: documented requests in, signed webhooks out."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from receiver.simulator import Simulator, deliveries, studio

SECRET = b"whsec practice"
BEARER = {"Authorization": "Bearer practice"}
ASK = "mutation ($input: GenerateInput!) { generate(input: $input) { id status url } }"
LOOK = "query ($id: ID!) { generation(id: $id) { id status url metadata } }"


@dataclass
class Heard:
    """One webhook as it came over the wire."""

    signature: str
    body: bytes

    @property
    def says(self) -> dict[str, Any]:
        return json.loads(self.body)

    def is_signed_with(self, secret: bytes) -> bool:
        digest = hmac.new(secret, self.body, "sha256").hexdigest()
        return hmac.compare_digest(self.signature, f"sha256={digest}")


@dataclass
class Listener:
    """Hears webhooks and answers with `answers` in turn, then 202; `gate` holds it back."""

    answers: list[int] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.heard.append(Heard(request.headers["X-Doitong-Signature"], body))
        self.reached.set()
        await self.gate.wait()
        return web.Response(status=self.answers.pop(0) if self.answers else 202)


@dataclass
class Practice:
    """A simulator, somebody who listens, and a client that speaks to both."""

    simulator: Simulator
    listener: Listener
    webhook_url: str
    client: aiohttp.ClientSession

    async def post(self, path: str, body: object, **headers: str) -> tuple[int, Any]:
        url = self.simulator.base_url + path
        async with self.client.post(url, json=body, headers={**BEARER, **headers}) as answer:
            return answer.status, await answer.json()

    async def ask(self, *faults: str, prompt: str = "A red fox", **options: Any) -> str:
        """Submit one generation and return its id."""
        asked = {"text": prompt, "webhookUrl": self.webhook_url}
        variables = {"input": {"provider": "flux-pro", "input": asked, "options": options}}
        body = {"query": ASK, "variables": variables}
        status, answer = await self.post("/graphql", body, **{"X-Simulate": ",".join(faults)})
        assert status == 200, answer
        return answer["data"]["generate"]["id"]

    async def look(self, generation_id: str) -> dict[str, Any]:
        """What a status query says."""
        body = {"query": LOOK, "variables": {"id": generation_id}}
        return (await self.post("/graphql", body))[1]["data"]["generation"]

    def report_of(self, generation_id: str) -> dict[str, Any]:
        return next(row for row in self.simulator.report() if row["id"] == generation_id)


@asynccontextmanager
async def practising(*, answers: tuple[int, ...] = (), **settings: Any) -> AsyncIterator[Practice]:
    """A simulator that draws at once, with everything around it that a test needs."""
    listener = Listener(answers=list(answers))
    listener.gate.set()
    application = web.Application()
    application.router.add_post("/webhooks/doitong", listener.hear)
    async with (
        TestServer(application, host="127.0.0.1") as server,
        aiohttp.ClientSession() as client,
        Simulator(SECRET, **{"drawing_seconds": 0, "random_seed": 7, **settings}) as simulator,
    ):
        yield Practice(simulator, listener, str(server.make_url("/webhooks/doitong")), client)


GOOD = {"provider": "flux-pro", "input": {"text": "A red fox"}}


async def test_a_finished_picture_is_announced_in_the_documented_form() -> None:
    """The webhook is signed, says what is documented, and its link serves the reported bytes."""
    async with practising() as practice:
        generation_id = await practice.ask(width=1920, height=1080)
        await practice.simulator.idle()
        [heard] = practice.listener.heard
        says = heard.says
        assert heard.is_signed_with(SECRET)
        names = ["id", "status", "url", "service", "createdAt", "completedAt", "metadata"]
        assert names == list(says)
        assert (generation_id, "completed", "flux-pro") == (
            says["id"],
            says["status"],
            says["service"],
        )
        assert says["metadata"] == {"duration": None, "width": 1920, "height": 1080}
        assert len("2024-01-01T00:00:00Z") == len(says["completedAt"])
        async with practice.client.get(says["url"]) as answer:
            picture = await answer.read()
            assert (answer.status, answer.content_type) == (200, "image/jpeg")
        async with practice.client.get(says["url"]) as answer:
            assert await answer.read() == picture
        async with practice.client.get(practice.simulator.base_url + "/simulator/report") as answer:
            assert [practice.report_of(generation_id)] == await answer.json()
        truth = {"sha256": hashlib.sha256(picture).hexdigest(), "downloads": 2}
        assert {
            "provider": "doitong",
            "id": generation_id,
            "account": "practice",
            "prompt": "A red fox",
            "faults": [],
            "state": "completed",
            "pictures": [truth],
            **truth,
            "webhook_attempts": [{"says": "completed", "answered": 202}],
        } == practice.report_of(generation_id)


async def test_a_status_query_follows_the_generation() -> None:
    """It says processing while drawing and afterwards what the webhook said."""
    async with practising(drawing_seconds=3600) as slow:
        drawing = await slow.look(await slow.ask())
        assert (drawing["status"], drawing["url"]) == ("processing", None)
    async with practising() as practice:
        generation_id = await practice.ask()
        await practice.simulator.idle()
        said = practice.listener.heard[0].says
        found = await practice.look(generation_id)
        assert {name: said[name] for name in ("id", "status", "url", "metadata")} == found


async def test_an_unknown_generation_is_null_with_an_error() -> None:
    """As GraphQL servers do, 200 with data null and a code that says NOT_FOUND."""
    async with practising() as practice:
        body = {"query": 'query { generation(id: "abc123xyz") { id } }'}
        status, answer = await practice.post("/graphql", body)
    assert (status, answer["data"]) == (200, {"generation": None})
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_a_refused_delivery_is_repeated_until_it_is_taken() -> None:
    """5xx and 429 are tried again with the same bytes, and every answer is reported."""
    async with practising(answers=(503, 429)) as practice:
        generation_id = await practice.ask()
        await practice.simulator.idle()
        answered = [
            attempt["answered"] for attempt in practice.report_of(generation_id)["webhook_attempts"]
        ]
        assert answered == [503, 429, 202]
        assert len({heard.body for heard in practice.listener.heard}) == 1


async def test_a_receiver_that_is_not_there_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few connection errors the simulator is idle, and says that nobody answered."""
    monkeypatch.setattr(deliveries, "BACKOFFS_SECONDS", (0, 0, 0))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with practising() as practice:
        practice.webhook_url = f"http://127.0.0.1:{port}/"
        generation_id = await practice.ask()
        await practice.simulator.idle()
        assert (
            practice.report_of(generation_id)["webhook_attempts"]
            == [{"says": "completed", "answered": None}] * 4
        )


async def test_idle_waits_for_the_last_answer() -> None:
    """While a receiver still thinks, the simulator is not idle."""
    async with practising() as practice:
        practice.listener.gate.clear()
        await practice.ask()
        idle = asyncio.create_task(practice.simulator.idle())
        await practice.listener.reached.wait()
        assert not idle.done()
        practice.listener.gate.set()
        await idle
        assert [
            attempt["answered"]
            for row in practice.simulator.report()
            for attempt in row["webhook_attempts"]
        ] == [202]


async def test_leaving_ends_all_work() -> None:
    """Generations under way leave no task behind."""
    async with practising(drawing_seconds=3600) as practice:
        others = asyncio.all_tasks()
        async with Simulator(SECRET, drawing_seconds=3600) as simulator:
            for _ in range(3):
                body = {"query": ASK, "variables": {"input": GOOD}}
                url = simulator.base_url + "/graphql"
                await practice.client.post(url, json=body, headers=BEARER)
            assert [row["state"] for row in simulator.report()] == ["processing"] * 3
        assert others == asyncio.all_tasks()


async def test_pictures_are_drawn_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing happens in another thread, so that answers never wait for it."""
    threads = []

    def noting(prompt: str, width: int, height: int) -> bytes:
        threads.append(threading.current_thread())
        return b"a picture"

    monkeypatch.setattr(studio, "draw", noting)
    async with practising() as practice:
        await practice.ask()
        await practice.simulator.idle()
    assert len(threads) == 1
    assert threading.main_thread() not in threads


async def test_three_hundred_generations_are_told_twice_and_fetched_once() -> None:
    """Under a burst every webhook is signed and delivered twice, and every picture is its own."""
    prompts = [f"fox number {number}" for number in range(300)]
    async with practising() as practice:
        await asyncio.gather(
            *(practice.ask("twice", prompt=prompt, width=64, height=64) for prompt in prompts)
        )
        await practice.simulator.idle()
        heard = practice.listener.heard
        assert len(heard) == 600
        assert all(webhook.is_signed_with(SECRET) for webhook in heard)
        digests = {}
        for says in {webhook.body: webhook.says for webhook in heard}.values():
            async with practice.client.get(says["url"]) as answer:
                digests[says["id"]] = hashlib.sha256(await answer.read()).hexdigest()
        report = practice.simulator.report()
    assert digests == {row["id"]: row["sha256"] for row in report}
    assert {1} == {row["downloads"] for row in report}
    assert sorted(prompts) == sorted(row["prompt"] for row in report)


async def test_a_seed_repeats_the_ids() -> None:
    """Two simulators of one seed call their generations the same."""
    ids = []
    for seed in (1, 1, 2):
        async with practising(random_seed=seed) as practice:
            ids.append([await practice.ask(), await practice.ask()])
    assert ids[0] == ids[1] != ids[2]
