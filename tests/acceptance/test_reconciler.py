"""Whatever a provider's bad day: what nobody tells is found, and what has no end is awaited."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from receiver.simulator import Simulator
from tests.service import Service, eventually, from_simulator, running

KEY = "sk-practice-0123456789"
TOKEN = "rule-0123456789"
UNSETTLED = {"expected", "linked"}


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """A service behind which DashScope practises, and that its EventBridge tells what ended."""

    service: Service
    simulator: Simulator
    client: aiohttp.ClientSession

    async def submit(self, prompt: str, **parameters: Any) -> str:
        """One submission through the gateway; the task's id."""
        address = self.service.logged("listening")["gateway"]
        path = "api/v1/services/aigc/text2image/image-synthesis"
        async with self.client.post(
            f"http://{address}/gateway/dashscope/{path}",
            json={
                "model": "stable-diffusion-xl",
                "input": {"prompt": prompt},
                "parameters": {"size": "512*512", "n": 1, **parameters},
            },
            headers={"Authorization": f"Bearer {KEY}", "X-DashScope-Async": "enable"},
        ) as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["output"]["task_id"])

    async def story(self, task_id: str) -> dict[str, Any] | None:
        """Everything known of a task so far."""
        url = f"http://127.0.0.1:{self.service.private}/api/v1/generations/dashscope/{task_id}"
        async with self.client.get(url) as answer:
            return await answer.json() if answer.status == 200 else None

    async def settled(self, task_id: str) -> dict[str, Any]:
        """The same once nothing of it is awaited any more."""

        async def look() -> dict[str, Any] | None:
            story = await self.story(task_id)
            if story is None or {slot["state"] for slot in story["slots"]} & UNSETTLED:
                return None
            return story if story["state"] not in ("queued", "running") else None

        return await eventually(look)


def _poll(story: dict[str, Any]) -> dict[str, Any]:
    [job] = [job for job in story["jobs"] if job["kind"] == "poll"]
    return job


def _heard(story: dict[str, Any]) -> list[str]:
    return [one["heard"] for one in story["deliveries"]]


@pytest.fixture
def public() -> Iterator[socket.socket]:
    """The public listener's socket, so that its address is known before anything runs."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        yield bound


@pytest.fixture
async def house(tmp_path: Path, public: socket.socket) -> AsyncIterator[House]:
    """A task that was purged is forgotten before anybody would ask who was not told."""
    address = f"http://127.0.0.1:{public.getsockname()[1]}"
    async with (
        Simulator(
            secret=b"unused",
            api_keys=(KEY,),
            drawing_seconds=0.1,
            link_life_seconds=3600,
            purge_seconds=4,
            troubled_queries=1,
            events_url=f"{address}/webhooks/dashscope",
            events_token=TOKEN,
        ) as simulator,
        aiohttp.ClientSession() as client,
    ):
        with running(
            tmp_path,
            sockets={"public": public},
            env={"HOLDFAST_PUBLIC_URL": address, "HOLDFAST_LISTEN__GATEWAY": "127.0.0.1:0"},
            providers_dashscope={
                "base_url": simulator.base_url,
                "gateway": True,
                "download_hosts": ["127.0.0.1"],
                "events": True,
                "certificate_hosts": ["127.0.0.1"],
            },
            providers_dashscope_keys={"main": KEY},
            providers_dashscope_secrets={"rule": TOKEN},
            egress=from_simulator(simulator.base_url),
        ) as service:
            yield House(service=service, simulator=simulator, client=client)


async def test_every_bad_day_comes_to_the_right_end(house: House) -> None:
    """Untold, throttled, answered by a page, signed anew: archived; what never ends is awaited."""
    stuck = await house.submit("simulate:stuck")
    faults = ("never", "throttled", "html_status", "refreshed", "never,refreshed")
    tasks = {fault: await house.submit(f"a fox simulate:{fault}", n=2) for fault in faults}
    stories = dict(
        zip(faults, await asyncio.gather(*map(house.settled, tasks.values())), strict=True)
    )

    for fault, story in stories.items():
        assert [slot["state"] for slot in story["slots"]] == ["archived"] * 2, fault
        assert _poll(story)["state"] in ("completed", "cancelled"), fault
    assert _heard(stories["never"]) == ["overheard", "polled"]
    # Each link of these that was fetched was the newest: one answer was enough for both slots.
    assert {len(slot["links"]) for slot in stories["refreshed"]["slots"]} == {1}
    reported = {row["id"]: row for row in house.simulator.report()}
    for task_id in tasks.values():
        assert [one["downloads"] for one in reported[task_id]["pictures"]] == [1, 1]

    story = await house.story(stuck)
    assert story is not None
    assert (story["state"], story["slots"][0]["state"]) == ("running", "expected")
    assert _poll(story)["state"] in ("scheduled", "available", "running")


async def test_an_event_is_a_reason_to_ask_at_once(house: House) -> None:
    """It names no pictures; who waits for its turn instead finds the task forgotten."""
    told = await house.submit("a fox simulate:purged,twice")
    story = await house.settled(told)
    assert _heard(story) == ["overheard", "pushed", "polled"]
    assert story["slots"][0]["state"] == "archived"

    untold = await house.submit("a fox simulate:purged,never")

    async def looked_for() -> dict[str, Any] | None:
        story = await house.story(untold)
        return story if story and _poll(story)["reason"] else None

    story = await eventually(looked_for)
    assert _poll(story)["reason"] == "the provider knows no such generation"
    assert (story["state"], story["slots"][0]["state"]) == ("queued", "expected")
