"""The practice DashScope on its good days: tasks are taken, drawn, told of, listed and canceled."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import aiohttp
import pytest

from receiver.simulator import Simulator

SUBMIT = "/services/aigc/text2image/image-synthesis"
SHANGHAI = timezone(timedelta(hours=8))
SUCCEEDED_OUTPUT = [
    "task_id",
    "task_status",
    "submit_time",
    "scheduled_time",
    "end_time",
    "results",
    "task_metrics",
]


@dataclass
class Practice:
    """A simulator and a client that speaks DashScope to it."""

    simulator: Simulator
    client: aiohttp.ClientSession

    async def say(
        self,
        verb: str,
        path: str,
        body: object = None,
        key: str = "practice",
        asynchronous: str = "enable",
        **headers: str,
    ) -> tuple[int, Any]:
        """Status and answer of one request below `/api/v1`."""
        headers = {"Authorization": f"Bearer {key}", "X-DashScope-Async": asynchronous, **headers}
        url = f"{self.simulator.base_url}/api/v1{path}"
        async with self.client.request(verb, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def ask(
        self,
        prompt: str = "a running cat",
        model: str = "stable-diffusion-v1.5",
        key: str = "practice",
        **parameters: Any,
    ) -> str:
        """Submit one task and return its id."""
        body = {"model": model, "input": {"prompt": prompt}, "parameters": parameters}
        status, answer = await self.say("POST", SUBMIT, body, key)
        assert status == 200, answer
        return answer["output"]["task_id"]

    async def finish(self, prompt: str = "a running cat", **more: Any) -> str:
        """Submit one task, wait until nothing is under way, and return its id."""
        task_id = await self.ask(prompt, **more)
        await self.simulator.idle()
        return task_id

    async def look(self, task_id: str, key: str = "practice") -> dict[str, Any]:
        """What a status query says."""
        status, answer = await self.say("GET", f"/tasks/{task_id}", key=key)
        assert status == 200, answer
        return answer

    async def urls(self, task_id: str) -> list[str]:
        """The links that a status query gives."""
        results = (await self.look(task_id))["output"]["results"]
        return [result["url"] for result in results if "url" in result]

    async def fetch(self, url: str, verb: str = "GET", **headers: str) -> tuple[int, bytes]:
        """Status and body of a link."""
        async with self.client.request(verb, url, headers=headers) as answer:
            return answer.status, await answer.read()

    def report_of(self, task_id: str) -> dict[str, Any]:
        return next(row for row in self.simulator.report() if row["id"] == task_id)


@asynccontextmanager
async def practising(**settings: Any) -> AsyncIterator[Practice]:
    """A simulator that draws at once, and a client."""
    async with (
        aiohttp.ClientSession() as client,
        Simulator(b"", **{"drawing_seconds": 0, "random_seed": 7, **settings}) as simulator,
    ):
        yield Practice(simulator, client)


GOOD = {"model": "stable-diffusion-xl", "input": {"prompt": "a running cat"}}


def asked(**parameters: Any) -> dict[str, Any]:
    return {**GOOD, "parameters": parameters}


async def test_the_documented_request_becomes_four_pictures() -> None:
    """Accepted as PENDING, it ends with a link for each slot, and each link serves its picture."""
    body = {
        "model": "stable-diffusion-xl",
        "input": {"prompt": "a running cat", "negative_prompt": "yellow cat"},
        "parameters": {"size": "512*512", "n": 4, "seed": 42},
    }
    async with practising() as practice:
        status, accepted = await practice.say("POST", SUBMIT, body)
        assert (status, list(accepted)) == (200, ["output", "request_id"])
        assert accepted["output"]["task_status"] == "PENDING"
        await practice.simulator.idle()
        task_id = accepted["output"]["task_id"]
        answer = await practice.look(task_id)
        assert list(answer) == ["request_id", "output", "usage"]
        assert list(answer["output"]) == SUCCEEDED_OUTPUT
        assert answer["output"]["task_metrics"] == {"TOTAL": 4, "SUCCEEDED": 4, "FAILED": 0}
        assert answer["usage"] == {"image_count": 4}
        pictures = [await practice.fetch(url) for url in await practice.urls(task_id)]
        shas = [hashlib.sha256(picture).hexdigest() for _, picture in pictures]
        assert len(set(shas)) == 4
        async with practice.client.get(practice.simulator.base_url + "/simulator/report") as report:
            assert [practice.report_of(task_id)] == await report.json()
        assert practice.report_of(task_id) == {
            "provider": "dashscope",
            "id": task_id,
            "account": "practice",
            "prompt": "a running cat",
            "faults": [],
            "state": "SUCCEEDED",
            "pictures": [{"sha256": sha, "downloads": 1} for sha in shas],
            "webhook_attempts": [],
        }


async def test_slots_count_up_from_the_seed() -> None:
    """Slot i of a task is what its seed + i draws alone; without a seed chance chooses."""
    async with practising() as practice:
        batch = await practice.finish(n=3, seed=42)
        alone = await practice.finish(seed=44)
        chance = [await practice.finish(), await practice.finish()]
        [sha] = practice.report_of(alone)["pictures"]
        assert sha == practice.report_of(batch)["pictures"][2]
        assert (
            practice.report_of(chance[0])["pictures"] != practice.report_of(chance[1])["pictures"]
        )


async def test_a_task_waits_before_it_runs() -> None:
    """PENDING knows its submission's time alone, Shanghai's and without an offset."""
    async with practising(drawing_seconds=3600) as practice:
        output = (await practice.look(await practice.ask(n=2)))["output"]
        assert list(output) == ["task_id", "task_status", "submit_time", "task_metrics"]
        assert output["task_status"] == "PENDING"
        assert output["task_metrics"] == {"TOTAL": 2, "SUCCEEDED": 0, "FAILED": 0}
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", output["submit_time"])
        submitted_at = datetime.fromisoformat(output["submit_time"]).replace(tzinfo=SHANGHAI)
        assert abs(datetime.now(SHANGHAI) - submitted_at) < timedelta(hours=1)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (None, 400, "InvalidParameter"),
        ([], 400, "InvalidParameter"),
        ({}, 400, "InvalidParameter"),
        ({**GOOD, "model": "stable-diffusion-9"}, 404, "ModelNotFound"),
        ({**GOOD, "input": {}}, 400, "InvalidParameter"),
        ({**GOOD, "input": {"prompt": " "}}, 400, "InvalidParameter"),
        ({**GOOD, "input": {"prompt": "\ud800"}}, 400, "InvalidParameter"),
        ({**GOOD, "input": {"prompt": "x", "negative_prompt": 1}}, 400, "InvalidParameter"),
        ({**GOOD, "parameters": 1}, 400, "InvalidParameter"),
        (asked(n=5), 400, "InvalidParameter"),
        (asked(n="1"), 400, "InvalidParameter"),
        (asked(n=True), 400, "InvalidParameter"),
        (asked(steps=0), 400, "InvalidParameter"),
        (asked(scale=16), 400, "InvalidParameter"),
        (asked(seed=-1), 400, "InvalidParameter"),
        (asked(size="1024x1024"), 400, "InvalidParameter"),
        (asked(size=1024), 400, "InvalidParameter"),
        (asked(size="0*512"), 400, "InvalidParameter"),
    ],
)
async def test_a_bad_request_is_refused_and_begins_nothing(
    body: object, status: int, code: str
) -> None:
    """The documented error form, and no task."""
    async with practising() as practice:
        refused, answer = await practice.say("POST", SUBMIT, body)
        assert (status, code) == (refused, answer["code"])
        assert list(answer) == ["code", "message", "request_id"]
        assert practice.simulator.report() == []


@pytest.mark.parametrize(
    ("model", "size"), [("stable-diffusion-v1.5", "512*640"), ("stable-diffusion-xl", "720*1280")]
)
async def test_a_size_that_the_model_lacks_fails_the_task(model: str, size: str) -> None:
    """As in the documented sample it is accepted, and FAILED says why."""
    async with practising() as practice:
        output = (await practice.look(await practice.finish(model=model, size=size, n=4)))["output"]
    assert (output["task_status"], output["code"]) == ("FAILED", "InvalidParameter")
    assert [*SUCCEEDED_OUTPUT[:5], "code", "message", "task_metrics"] == list(output)
    assert output["task_metrics"] == {"TOTAL": 4, "SUCCEEDED": 0, "FAILED": 4}


async def test_tasks_are_asynchronous() -> None:
    """Without the header that says so, 403 in the real words."""
    async with practising() as practice:
        status, answer = await practice.say("POST", SUBMIT, GOOD, asynchronous="disable")
    assert (status, answer["code"]) == (403, "AccessDenied")
    assert answer["message"] == "current user api does not support synchronous calls."


@pytest.mark.parametrize(
    ("keys", "key", "status"),
    [
        ((), "anybody", 200),
        ((), "wrong", 401),
        ((), "", 401),
        (("practice-2",), "practice-2", 200),
        (("practice-2",), "practice", 401),
    ],
)
async def test_a_key_is_an_account(keys: tuple[str, ...], key: str, status: int) -> None:
    """Any key but `wrong` is good, or those that are configured; 401 everywhere for another."""
    async with practising(api_keys=keys) as practice:
        for verb, path, body in (
            ("POST", SUBMIT, GOOD),
            ("GET", "/tasks/1111", None),
            ("GET", "/tasks/", None),
        ):
            answered, answer = await practice.say(verb, path, body, key)
            assert status == answered
            assert status == 200 or answer["code"] == "InvalidApiKey"
        url = f"{practice.simulator.base_url}/api/v1{SUBMIT}"
        async with practice.client.post(url, json=GOOD) as answer:
            assert answer.status == 401


async def test_a_seed_repeats_the_ids() -> None:
    """Two simulators of one seed call their tasks the same, however often they were queried."""
    ids = []
    for queries in (0, 3):
        async with practising() as practice:
            first = await practice.ask()
            for _ in range(queries):
                await practice.look(first)
            ids.append([first, await practice.ask()])
    assert ids[0] == ids[1]
