"""The vendors' own clients through the gateway: they notice nothing, and holdfast knows it all."""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from archiver.models import GenerationState, Observation
from receiver.providers import observations
from receiver.simulator import Simulator
from tests.receiver.roles_in_process import Role, passing_on
from tests.receiver.test_simulator_dashscope_sdk import BLOCKING, spoken

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it is written for an older pydantic
    from modelslab_py.core.apis.community import Community
    from modelslab_py.core.client import Client
    from modelslab_py.schemas.community import Text2Image

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")

CLIENTS = Path(__file__).parent / "clients"

FETCHING = """
import json, os
from dashscope import ImageSynthesis

print(json.dumps([ImageSynthesis.fetch(task) for task in json.loads(os.environ["TASKS"])]))
"""


@asynccontextmanager
async def behind(folder: Path, **settings: Any) -> AsyncIterator[tuple[Simulator, Role]]:
    """A practice provider of every name, and a gateway to it."""
    async with Simulator(secret=b"-", drawing_seconds=0.0, **settings) as simulator:
        api = {"base_url": simulator.base_url, "gateway": True}
        names = ("doitong", "modelslab", "dashscope")
        async with passing_on(folder, providers=dict.fromkeys(names, api)) as role:
            yield simulator, role


def heard(role: Role) -> list[Observation]:
    """What the gateway has kept, in order."""
    return [seen for delivery in role.stored() for seen in observations(delivery)]


def timeless(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each answer but for what no two answers share: its own id and its date."""
    return [
        {**answer, "request_id": None, "headers": {**answer["headers"], "Date": None}}
        for answer in answers
    ]


async def test_dashscope_notices_nothing(tmp_path: Path) -> None:
    """What the SDK returns through the gateway is what it returns without it, to the letter."""
    async with behind(tmp_path) as (simulator, role):
        through = await spoken(BLOCKING, f"{role.url}/gateway/dashscope")
        tasks = json.dumps([answer["output"]["task_id"] for answer in through])
        script = f"import os; os.environ['TASKS'] = {tasks!r}\n{FETCHING}"
        direct = await spoken(script, simulator.base_url)
        assert timeless(through) == timeless(direct)

        last = {seen.generation_id: seen for seen in heard(role)}
        states = [last[answer["output"]["task_id"]].state for answer in through]
        assert states == [
            GenerationState.SUCCEEDED,
            GenerationState.PARTIAL,
            GenerationState.FAILED,
            GenerationState.SUCCEEDED,
        ]
        prompts = {seen.params.prompt for seen in heard(role)}
        assert {"a running cat", "simulate:partial", "simulate:failed"} <= prompts
        assert len({seen.account for seen in heard(role)} - {None}) == 1


async def test_modelslab_notices_nothing(tmp_path: Path) -> None:
    """The same answers, and a key in every body that is kept in none."""
    async with behind(tmp_path) as (simulator, role):
        client = Client(api_key="practice-key-0123", fetch_retry=1, fetch_timeout=0)
        asked = Text2Image(prompt="A red fox", model_id="flux", samples=2, seed=7)
        client.base_url = f"{role.url}/gateway/modelslab/api/"
        api = Community(client=client)
        answer = await asyncio.to_thread(api.text_to_image, asked)
        await simulator.idle()
        through = await asyncio.to_thread(api.fetch, str(answer["id"]))
        client.base_url = f"{simulator.base_url}/api/"
        assert through == await asyncio.to_thread(api.fetch, str(answer["id"]))

        submitted, finished = heard(role)
        assert (submitted.params.prompt, submitted.params.seed) == ("A red fox", 7)
        assert submitted.state is GenerationState.RUNNING
        assert finished.state is GenerationState.SUCCEEDED
        assert {slot.url for slot in finished.slots} >= set(through["output"])
        kept = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not any(b"practice-key-0123" in path.read_bytes() for path in kept)


@pytest.mark.parametrize(
    ("snippet", "command"),
    [("doitong.py.txt", (sys.executable, "-c")), ("doitong.sh.txt", ("bash", "-c"))],
)
async def test_doitongs_own_examples_run(
    tmp_path: Path, snippet: str, command: tuple[str, str]
) -> None:
    """As its document prints them, but for the address and the key."""
    async with behind(tmp_path, api_key="practice-key-0123") as (_, role):
        example = (CLIENTS / snippet).read_text(encoding="utf-8")
        example = example.replace("https://api.doitong.com", f"{role.url}/gateway/doitong")
        process = await asyncio.create_subprocess_exec(
            *command,
            example.replace("YOUR_API_KEY", "practice-key-0123"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await process.communicate()
        assert process.returncode == 0, complained.decode()

        [seen] = heard(role)
        assert seen.generation_id in said.decode()
        assert seen.params.prompt == "A futuristic city with flying cars and neon lights"
        assert (seen.params.width, seen.params.height) == (1024, 1024)
