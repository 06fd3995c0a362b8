"""A provider's bad night, and the pictures all the same: drawn elsewhere, by hand, by the service.

The weights are random and small; all else is as installed: processes, children, HTTP, the bucket.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from time import sleep
from typing import Any, TypeVar

import aiohttp
import pytest
from PIL import Image

from archiver.clock import monotonic
from archiver.sqlite import open_writer
from receiver.simulator import Simulator
from receiver.simulator.dashscope import studio
from receiver.simulator.dashscope.tasks import Failure
from tests.acceptance.test_spine import Told, submit
from tests.service import HOLDFAST, SECRET, Service, from_simulator, holdfast, running

KEY = "sk-practice-0123456789"
READER, RENDERER = "a secret of whoever reads", "a secret of whoever draws"
SEED = 100
LOST = {1, 3}
# To import what draws takes seconds, and many where others want the processor too.
PATIENCE_SECONDS = 240
HOME = "/api/v1"

T = TypeVar("T")
Done = subprocess.CompletedProcess[str]
Story = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Night:
    """All that was seen of it, when it is over."""

    held: Story
    plan: Done
    elsewhere: Story
    worker: Done
    by_hand: Done
    by_hand_after: Story
    prompt: Done
    drawing: Path
    waiting: Story
    child_survived: bool
    drawn: Story
    pictures: dict[int, bytes]
    hits: list[Story]
    shown: Done
    manifest: Story
    log: str


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """A service as its clients see it."""

    service: Service
    client: aiohttp.ClientSession

    async def get(self, path: str) -> bytes | None:
        """What the private listener has there, if anything."""
        async with self.client.get(f"http://127.0.0.1:{self.service.private}{path}") as answer:
            return await answer.read() if answer.status == 200 else None

    async def story(self, name: str, *states: str) -> Story:
        """Everything known of a generation, once its slots stand like this."""

        async def look() -> Story | None:
            body = await self.get(f"{HOME}/generations/{name}")
            story: Story = json.loads(body) if body else {"slots": []}
            return story if [slot["state"] for slot in story["slots"]] == [*states] else None

        return await until(look)

    async def fail(self, simulator: Simulator, prompt: str) -> str:
        """A generation of Doitong's that fails, and whose prompt is known."""
        told = Told(prompt=prompt, faults=frozenset({"failed"}), remembered=True)
        return f"doitong/{await submit(self.client, simulator, self.service, told)}"

    async def half_fail(self) -> str:
        """A task of DashScope's with four pictures, submitted through the gateway."""
        address = self.service.logged("listening")["gateway"]
        parameters = {"size": "512*512", "n": 4, "seed": SEED, "steps": 1}
        asked = {"input": {"prompt": "an owl at midnight"}, "parameters": parameters}
        async with self.client.post(
            f"http://{address}/gateway/dashscope{HOME}/services/aigc/text2image/image-synthesis",
            json={"model": "stable-diffusion-xl", **asked},
            headers={"Authorization": f"Bearer {KEY}", "X-DashScope-Async": "enable"},
        ) as answer:
            return f"dashscope/{(await answer.json())['output']['task_id']}"


async def until(look: Callable[[], Awaitable[T | None]]) -> T:
    """Asks again and again until there is an answer."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (answer := await look()) is None:
            await asyncio.sleep(0.05)
    return answer


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """One night for all the tests to look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studio, "slot_failure", half_broken)
        return asyncio.run(live(tmp_path_factory.mktemp("night")))


def half_broken(index: int, n: int, faults: frozenset[str]) -> Failure | None:
    """Of four pictures DashScope loses two."""
    return Failure("InternalError.Timeout", "timed out") if index in LOST else None


async def live(folder: Path) -> Night:
    """First without a renderer beside the archive, then with one."""
    seen: dict[str, Any] = {"drawing": folder / "owl.png"}
    weights = folder / "weights"
    making = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fallback_renderer.tiny", str(weights))
    )
    headers = {"Authorization": f"Bearer {READER}"}
    async with (
        Simulator(SECRET.encode(), api_keys=(KEY,), drawing_seconds=0.1) as simulator,
        aiohttp.ClientSession(headers=headers) as client,
    ):
        tables = configured(simulator)
        with running(folder, **tables) as service:
            house = House(service=service, client=client)
            first, second = [await house.fail(simulator, name) for name in ("a fox", "a hen")]
            seen["held"] = await house.story(first, "held")
            assert await making.wait() == 0
            render = {"render_checkpoints_tiny": checkpoint(weights)}
            config = folder / "renderer.toml"
            config.write_text(service.config_file.read_text() + as_toml(render))
            await by_hand(seen, house, config, second)
            await elsewhere(seen, house, config, first)
            owl = await house.half_fail()
            seen["waiting"] = await house.story(owl, "archived", "held", "archived", "held")
            await asyncio.to_thread(service.stop)
        with running(folder, **tables, **render) as service:
            house = House(service=service, client=client)
            await beside(seen, house, folder, owl)
            assert await asyncio.to_thread(service.stop) == 0
            seen["log"] = service.log
    return Night(**seen)


async def by_hand(seen: dict[str, Any], house: House, config: Path, lost: str) -> None:
    """Beside the service, which knows of no renderer."""
    seen["plan"] = await typed(config, "render", "--plan", lost, "--json")
    seen["by_hand"], seen["prompt"] = await asyncio.gather(
        typed(config, "render", lost),
        typed(
            config,
            *("render", "--prompt", "an owl", "--model", "sd-1.5", "--seed", "7", "--steps", "2"),
            *("--width", "64", "--height", "64", "--out", str(seen["drawing"]), "--json"),
        ),
    )
    seen["by_hand_after"] = await house.story(lost, "rendered")


async def elsewhere(seen: dict[str, Any], house: House, config: Path, lost: str) -> None:
    """By a renderer that has a token, and nothing of the archive."""
    token = config.with_name("token")
    token.write_text(f"{RENDERER}\n")
    server = f"http://127.0.0.1:{house.service.private}"
    command = [HOLDFAST, "--config", str(config), "work", "--role", "render"]
    with subprocess.Popen(
        [*command, "--server", server, "--token-file", str(token)],
        stderr=subprocess.PIPE,
        text=True,
        env={"HOLDFAST_CATALOG__URL": "sqlite:////dev/null/catalog.db"},
    ) as worker:
        try:
            seen["elsewhere"] = await house.story(lost, "rendered")
        finally:
            worker.send_signal(signal.SIGTERM)
            _, said = await asyncio.to_thread(worker.communicate)
    seen["worker"] = Done(command, worker.returncode, stderr=said)


async def beside(seen: dict[str, Any], house: House, folder: Path, lost: str) -> None:
    """By the service's own role, which is killed at it."""
    service = house.service

    async def claimed() -> int | None:
        working = '"event": "claimed", "role": "render"' in service.log
        return next(children(service.process.pid, "fallback_renderer")) if working else None

    role = await until(claimed)
    [child] = children(role, "fallback_renderer.child")
    await asyncio.to_thread(kill, role, child)
    seen["child_survived"] = is_alive(child)
    expire(folder / "catalog.db")
    states = ("archived", "rendered", "archived", "rendered")
    seen["drawn"] = await house.story(lost, *states)
    numbers = {slot["index"]: slot["number"] for slot in seen["drawn"]["slots"]}
    seen["pictures"] = {
        index: await house.get(f"{HOME}/assets/{numbers[index]}/content") for index in LOST
    }
    seen["hits"] = json.loads(await house.get(f"{HOME}/assets?q=owl") or b"")["hits"]
    seen["shown"] = await typed(service.config_file, "show", lost)
    task_id = lost.partition("/")[2]

    async def sealed() -> Story | None:
        [file] = (folder / "bucket" / "manifests" / "dashscope").rglob(f"{task_id}.json")
        manifest: Story = json.loads(file.read_bytes())
        return manifest if [slot["state"] for slot in manifest["slots"]] == [*states] else None

    seen["manifest"] = await until(sealed)


def configured(simulator: Simulator) -> dict[str, Story]:
    """The tables of a service that hears both providers, and of who may use its listener."""
    tokens = {
        "tokens_reader": {"sha256": digest(READER), "scopes": ["read", "write"]},
        "tokens_renderer": {"sha256": digest(RENDERER), "scopes": ["worker"]},
    }
    dashscope = {
        "base_url": simulator.base_url,
        "download_hosts": ["127.0.0.1"],
        "gateway": True,
    }
    return {
        **tokens,
        "listen": {"gateway": "127.0.0.1:0"},
        "egress": from_simulator(simulator.base_url),
        "providers_dashscope": dashscope,
        "providers_dashscope_keys": {"main": KEY},
    }


def checkpoint(weights: Path) -> Story:
    """The table of the small weights, which stand in for all others."""
    return {"family": "sd15", "path": str(weights), "default": True, "tiny": True, "steps": 2}


def as_toml(tables: dict[str, Story]) -> str:
    """Tables for the end of a configuration, underscores for dots."""
    lines = [""]
    for name, values in tables.items():
        lines.append(f"[{name.replace('_', '.')}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines)


def digest(secret: str) -> str:
    """How a token stands in the configuration."""
    return sha256(secret.encode()).hexdigest()


async def typed(config: Path, *words: str) -> Done:
    """One command of an operator's, run beside all else."""
    return await asyncio.to_thread(holdfast, config, *words, patience_seconds=PATIENCE_SECONDS)


def children(parent: int, module: str) -> Iterator[int]:
    """The living children of a process that run that module, from proc(5)."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, its_parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            words = (entry / "cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended just now
        if its_parent == str(parent) and state not in "ZX" and module in words:
            yield int(entry.name)


def kill(role: int, child: int) -> None:
    """Ends the renderer without a word; returns once its child has gone, or had time enough."""
    os.kill(role, signal.SIGKILL)
    gives_up_at = monotonic() + PATIENCE_SECONDS
    while is_alive(child) and monotonic() < gives_up_at:
        sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether that process still does anything."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def expire(catalog: Path) -> None:
    """Ends the leases of dead renderers now, which time would do within a minute."""
    connection = open_writer(catalog)
    try:
        connection.execute("UPDATE jobs SET lease_until=0 WHERE kind='render' AND state='running'")
    finally:
        connection.close()


def drawings(story: Story) -> dict[int, Story]:
    """The assets that were drawn here, by slot."""
    return {
        slot["index"]: asset
        for slot in story["slots"]
        for asset in slot["assets"]
        if asset["origin"] == "fallback"
    }


def test_without_a_renderer_it_waits(night: Night) -> None:
    """Nothing is lost by waiting, and the reason says what is missing."""
    [slot] = night.held["slots"]

    assert slot["reason"].startswith("no renderer")


def test_the_plan_says_what_would_be_drawn(night: Night) -> None:
    """With every substitute, and nothing is drawn by it."""
    assert (night.plan.returncode, night.by_hand.returncode) == (0, 0), night.plan.stderr
    assert "the weights are random: this only demonstrates" in night.plan.stdout


def test_by_hand(night: Night) -> None:
    """An operator draws what is lost, and it stands in the archive like all else."""
    [asset] = drawings(night.by_hand_after).values()

    assert night.by_hand.returncode == 0, night.by_hand.stderr
    assert any("the weights are random" in note for note in asset["rendering"]["notes"])


def test_by_prompt_into_a_file(night: Night) -> None:
    """A drawing without an archive: the file is a picture of the size that was asked for."""
    assert night.prompt.returncode == 0, night.prompt.stderr
    with Image.open(night.drawing) as picture:
        assert (picture.format, picture.size) == ("PNG", (64, 64))


def test_elsewhere(night: Night) -> None:
    """A renderer with no more than a token draws over HTTP, and ends when it is told to."""
    assert night.worker.returncode == 0, night.worker.stderr
    assert len(drawings(night.elsewhere)) == 1
    assert RENDERER not in night.log + night.worker.stderr


def test_the_lost_of_four_are_drawn_with_their_own_seeds(night: Night) -> None:
    """Slot i is drawn from the request's seed + i; the two that came stay the provider's."""
    drawn = drawings(night.drawn)

    assert {index: asset["rendering"]["seed"] for index, asset in drawn.items()} == {
        index: SEED + index for index in LOST
    }


def test_a_drawing_is_called_one_wherever_it_is_met(night: Night) -> None:
    """In the picture, in search, in `show` and in the manifest."""
    for index, png in night.pictures.items():
        with Image.open(BytesIO(png)) as picture:
            told = json.loads(picture.info["holdfast"])
            assert b"trainedAlgorithmicMedia" in png
        assert (told["origin"], told["index"]) == ("fallback", index)
        assert told["parameters"]["seed"] == SEED + index
    sealed = {
        index: asset["rendering"]["seed"] for index, asset in drawings(night.manifest).items()
    }
    assert sealed == {index: SEED + index for index in LOST}
    assert sum("fallback" in json.dumps(hit) for hit in night.hits) == len(LOST)
    assert "fallback" in night.shown.stdout


def test_a_killed_renderer_costs_nothing(night: Night) -> None:
    """Its child dies with it, it is started again, and what it was at is drawn."""
    assert not night.child_survived
    assert "Traceback" not in night.log
