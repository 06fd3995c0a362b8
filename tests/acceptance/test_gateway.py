"""A client changes one base URL: what it submits to any provider is archived, told or asked."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from receiver.simulator import Simulator
from tests.service import Service, eventually, from_simulator, holdfast, running

KEY = "sk-practice-0123456789"
SECRET = "whsec gateway"
# The practice providers draw now one, now the other.
PICTURES = (b"\xff\xd8\xff", b"\x89PNG")
UNSETTLED = {"expected", "linked"}
GENERATE_IMAGE = """
mutation ($input: ImageGenerationInput!) { generateImage(input: $input) { id url width height } }
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """A service between a client and the practice providers, which also tell it what ended."""

    service: Service
    simulator: Simulator
    client: aiohttp.ClientSession

    async def post(self, path: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        """One submission through the gateway."""
        address = self.service.logged("listening")["gateway"]
        shown = {"Authorization": f"Bearer {KEY}", **headers}
        url = f"http://{address}/gateway/{path}"
        async with self.client.post(url, json=body, headers=shown) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def dashscope(self, prompt: str, **parameters: Any) -> str:
        body = {
            "model": "stable-diffusion-xl",
            "input": {"prompt": prompt},
            "parameters": {"size": "512*512", **parameters},
        }
        path = "dashscope/api/v1/services/aigc/text2image/image-synthesis"
        answer = await self.post(path, body, **{"X-DashScope-Async": "enable"})
        return answer["output"]["task_id"]

    async def modelslab(self, prompt: str, **more: Any) -> str:
        body = {"key": KEY, "prompt": prompt, "model_id": "flux", "samples": 1, **more}
        return str((await self.post("modelslab/api/v6/images/text2img", body))["id"])

    async def doitong(self, prompt: str) -> str:
        given = {"service": "flux-pro", "prompt": prompt, "width": 512, "height": 512}
        body = {"query": GENERATE_IMAGE, "variables": {"input": given}}
        return (await self.post("doitong/graphql", body))["data"]["generateImage"]["id"]

    async def settled(self, provider: str, generation_id: str) -> dict[str, Any]:
        """Everything known of a generation once nothing of it is awaited any more."""
        url = f"http://127.0.0.1:{self.service.private}/api/v1/generations/{provider}"

        async def look() -> dict[str, Any] | None:
            async with self.client.get(f"{url}/{generation_id}") as answer:
                story = await answer.json() if answer.status == 200 else None
            if story is None or {slot["state"] for slot in story["slots"]} & UNSETTLED:
                return None
            return story if story["state"] not in ("queued", "running") else None

        return await eventually(look)

    async def content(self, slot: dict[str, Any]) -> bytes:
        """The bytes of a slot's picture."""
        number = slot["number"]
        url = f"http://127.0.0.1:{self.service.private}/api/v1/assets/{number}/content"
        async with self.client.get(url) as answer:
            return await answer.read()


@pytest.fixture
def public() -> Iterator[socket.socket]:
    """The public listener's socket, so that its address is known before anything runs."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        yield bound


@pytest.fixture
async def house(tmp_path: Path, public: socket.socket) -> AsyncIterator[House]:
    """Every provider behind the gateway, with a key to ask with."""
    address = f"http://127.0.0.1:{public.getsockname()[1]}"
    async with (
        Simulator(
            secret=SECRET.encode(),
            api_key=KEY,
            api_keys=(KEY,),
            drawing_seconds=0.1,
            link_life_seconds=3600,
        ) as simulator,
        aiohttp.ClientSession() as client,
    ):
        api = {
            "base_url": simulator.base_url,
            "gateway": True,
            "download_hosts": ["127.0.0.1"],
        }
        keys, secrets = {"main": KEY}, {"main": SECRET}
        tables: dict[str, Any] = {
            "providers_doitong": api,
            "providers_doitong_secrets": secrets,
            "providers_modelslab": api,
            "providers_modelslab_keys": keys,
            "providers_modelslab_secrets": secrets,
            "providers_dashscope": api,
            "providers_dashscope_keys": keys,
            "egress": from_simulator(simulator.base_url),
        }
        with running(
            tmp_path,
            sockets={"public": public},
            env={"HOLDFAST_PUBLIC_URL": address, "HOLDFAST_LISTEN__GATEWAY": "127.0.0.1:0"},
            **tables,
        ) as service:
            yield House(service=service, simulator=simulator, client=client)


async def test_what_nobody_tells_is_asked_for(house: House) -> None:
    """DashScope has no webhook and the client never asks: each slot's end is found all the same."""
    whole = await house.dashscope("a running cat", n=2, seed=5)
    partial = await house.dashscope("simulate:partial", n=3, seed=7)
    refused = await house.dashscope("simulate:moderated", n=1)
    dying = await house.dashscope("simulate:dead_link", n=1)

    story = await house.settled("dashscope", whole)
    assert [slot["state"] for slot in story["slots"]] == ["archived"] * 2
    assert (story["params"]["prompt"], story["params"]["seed"]) == ("a running cat", 5)
    assert story["account"]
    story = await house.settled("dashscope", partial)
    assert [slot["state"] for slot in story["slots"]] == ["archived", "held", "archived"]
    assert story["slots"][1]["reason"].startswith("no renderer: ")
    story = await house.settled("dashscope", refused)
    assert story["slots"][0]["reason"].startswith("moderation, never drawn")
    story = await house.settled("dashscope", dying)
    assert story["slots"][0]["reason"].startswith("no renderer: the link died")
    assert {job["kind"]: job["state"] for job in story["jobs"]}["poll"] == "completed"


async def test_what_is_told_is_confirmed(house: House) -> None:
    """ModelsLab's webhook comes by a path only it was given; what it names is asked for first."""
    plain = await house.modelslab("a red fox")
    text = await house.modelslab("a red fox as text", base64="yes")
    picture = await house.content((await house.settled("modelslab", plain))["slots"][0])
    drawn = f"{house.simulator.base_url}/modelslab/"
    edited = await house.modelslab("a red fox simulate:forged_link")

    assert picture.startswith(PICTURES)
    story = await house.settled("modelslab", text)
    assert (await house.content(story["slots"][0])).startswith(PICTURES)
    heard = {one["heard"] for one in story["deliveries"]}
    assert heard == {"overheard", "pushed", "polled"}
    story = await house.settled("modelslab", edited)
    links = [link["location"] for slot in story["slots"] for link in slot["links"]]
    assert links
    assert all(link.startswith(drawn) for link in links)


async def test_a_clients_own_pictures_are_kept_too(house: House) -> None:
    """What a request names is archived beside what came of it, and found by no search."""
    first = await house.settled("modelslab", await house.modelslab("a red fox"))
    source = await house.content(first["slots"][0])
    # ModelsLab's links have no query, so the whole of one may be shown.
    link = first["slots"][0]["links"][0]["location"]
    story = await house.settled(
        "modelslab", await house.modelslab("a blue fox", init_image=link, strength=0.5)
    )
    by_role = {slot["role"]: slot for slot in story["slots"]}

    assert by_role["init_image"]["state"] == by_role[""]["state"] == "archived"
    assert await house.content(by_role["init_image"]) == source
    found = json.loads(holdfast(house.service.config_file, "search", "--json", "blue").stdout)
    assert [hit["number"] for hit in found["hits"]] == [by_role[""]["number"]]


async def test_a_webhook_is_asked_for_where_the_client_named_none(house: House) -> None:
    """Doitong's flat form has a place for it, and its webhook is signed."""
    story = await house.settled("doitong", await house.doitong("a lighthouse"))

    assert story["slots"][0]["state"] == "archived"
    assert story["params"]["prompt"] == "a lighthouse"
    assert {one["heard"] for one in story["deliveries"]} == {"overheard", "pushed"}
