"""EventBridge, played by the simulator: signed events of ended tasks, on good days and bad."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate

from tests.receiver.test_simulator_dashscope import Practice, practising


@dataclass
class Event:
    """One event as it came over the wire."""

    headers: dict[str, str]
    body: bytes

    @property
    def says(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class Rule:
    """Where EventBridge posts to; answers with `answers` in turn, then 200."""

    answers: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def hear(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.events.append(Event(headers, await request.read()))
        self.reached.set()
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    async def is_signed(self, practice: Practice, event: Event) -> bool:
        """Verify as EventBridge's page says: the URL, five headers by name, and the raw body."""
        names = ("signature-timestamp", "hash-method", "signature-version", "signature-url")
        signed = [f"x-eventbridge-{name}" for name in (*names, "signature-token")]
        lines = "\n".join(f"{name}: {event.headers[name]}" for name in signed)
        message = f"{self.url}\n{lines}\n".encode() + event.body
        _, pem = await practice.fetch(event.headers["x-eventbridge-signature-url"])
        key = load_pem_x509_certificate(pem).public_key()
        assert isinstance(key, RSAPublicKey)
        signature = b64decode(event.headers["x-eventbridge-signature-v2"], validate=True)
        try:
            key.verify(signature, message, PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True


@asynccontextmanager
async def listening(*answers: int, **settings: Any) -> AsyncIterator[tuple[Practice, Rule]]:
    """A simulator whose EventBridge has a rule for somebody who hears it."""
    rule = Rule(answers=list(answers))
    application = web.Application()
    application.router.add_post("/events", rule.hear)
    async with TestServer(application, host="127.0.0.1") as server:
        rule.url = f"{server.make_url('/events')}?from=cn%2Dbeijing"
        async with practising(events_url=rule.url, **settings) as practice:
            yield practice, rule


@pytest.mark.parametrize(
    ("prompt", "status"), [("a running cat", "SUCCEEDED"), ("simulate:failed", "FAILED")]
)
async def test_an_ended_task_is_told_of(prompt: str, status: str) -> None:
    """Success and failure alike, in the documented form, without results, and well signed."""
    async with listening() as (practice, rule):
        task_id = await practice.finish(prompt)
        [event] = rule.events
        assert await rule.is_signed(practice, event)
        assert event.headers["x-eventbridge-signature-token"] == "practice"
        assert re.fullmatch(r"\d{13}", event.headers["x-eventbridge-signature-timestamp"])
        assert event.headers["x-eventbridge-signature-url"].endswith("/certificates/cn-beijing.pem")
        says = event.says
        assert list(says) == [
            "id",
            "source",
            "specversion",
            "type",
            "time",
            "datacontenttype",
            "aliyunaccountid",
            "aliyunpublishtime",
            "aliyunregionid",
            "aliyuneventbusname",
            "data",
        ]
        assert (
            says["source"],
            says["type"],
        ) == ("acs.dashscope", "dashscope:System:AsyncTaskFinish")
        key = "apikey:v1:aigc:text2image:image-synthesis:stable-diffusion-v1.5"
        data = says["data"]
        assert (task_id, status, key, False) == (
            data["task_id"],
            data["task_status"],
            data["user_api_unique_key"],
            data["contain_result"],
        )
        output = (await practice.look(task_id))["output"]
        assert output["end_time"][:19] == data["end_time"]
        assert "output_result" not in data
        assert practice.report_of(task_id)["webhook_attempts"] == [
            {"says": status, "answered": 200}
        ]


async def test_an_event_can_hold_the_result() -> None:
    """Then nothing more need be asked."""
    async with listening(events_contain_result=True, events_token="another") as (practice, rule):
        task_id = await practice.finish("simulate:partial", n=2)
        [event] = rule.events
        assert await rule.is_signed(practice, event)
        assert event.headers["x-eventbridge-signature-token"] == "another"
        output = (await practice.look(task_id))["output"]
        assert (True, output) == (
            event.says["data"]["contain_result"],
            event.says["data"]["output_result"]["output"],
        )


async def test_a_refused_event_is_repeated_until_it_is_taken() -> None:
    """5xx and 429 are tried again with the same body, and every answer is reported."""
    async with listening(503, 429) as (practice, rule):
        task_id = await practice.finish()
        attempts = practice.report_of(task_id)["webhook_attempts"]
        assert [attempt["answered"] for attempt in attempts] == [503, 429, 200]
        assert len({event.body for event in rule.events}) == 1


async def test_what_was_canceled_is_not_told() -> None:
    """Only success and failure are."""
    async with listening(drawing_seconds=3600) as (practice, rule):
        task_id = await practice.ask()
        await practice.say("POST", f"/tasks/{task_id}/cancel")
        await practice.simulator.idle()
        assert rule.events == []


async def test_never_leaves_it_to_the_status_query() -> None:
    """No event comes, and the task has ended."""
    async with listening() as (practice, rule):
        task_id = await practice.finish("simulate:never")
        assert rule.events == []
        assert (await practice.look(task_id))["output"]["task_status"] == "SUCCEEDED"


async def test_twice_repeats_the_same_bytes() -> None:
    """Two deliveries of one event, both well signed."""
    async with listening() as (practice, rule):
        await practice.finish("simulate:twice")
        first, second = rule.events
        assert first.body == second.body
        assert [await rule.is_signed(practice, it) for it in (first, second)] == [True, True]


async def test_late_keeps_an_ended_task_to_itself() -> None:
    """A status query finds the end before the event is sent, and the event still comes."""
    async with listening(late_seconds=3600) as (practice, rule):
        late = await practice.ask("simulate:late")
        while (await practice.look(late))["output"]["task_status"] != "SUCCEEDED":
            pass
        # Whatever was sent of the first by now would be heard before the second.
        prompt = await practice.ask()
        await rule.reached.wait()
        assert [prompt] == [event.says["data"]["task_id"] for event in rule.events]
    async with listening(late_seconds=0.01) as (practice, rule):
        await practice.finish("simulate:late")
        assert len(rule.events) == 1


async def test_wrong_secret_is_another_key() -> None:
    """The certificate is served, and the signature is not its key's."""
    async with listening(401) as (practice, rule):
        task_id = await practice.finish("simulate:wrong_secret")
        [event] = rule.events
        assert not await rule.is_signed(practice, event)
        assert practice.report_of(task_id)["webhook_attempts"] == [
            {"says": "SUCCEEDED", "answered": 401}
        ]


async def test_without_a_rule_there_is_no_certificate() -> None:
    """Nobody is told, and nothing waits to be."""
    async with practising() as practice:
        task_id = await practice.finish()
        url = f"{practice.simulator.base_url}/certificates/cn-beijing.pem"
        assert (await practice.fetch(url))[0] == 404
        assert practice.report_of(task_id)["webhook_attempts"] == []
