"""`holdfast adopt` and `holdfast watch`: what was never heard of is taken in, and once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner, Result

from archiver.catalog.schema import migrate
from archiver.inbox.sqlite import SqliteInboxReader
from archiver.models import GenerationState, Observation
from receiver.cli import main
from receiver.commands.adopt import span
from receiver.providers import observations
from receiver.simulator import Simulator

KEY = "sk-practice-0123456789"
SUBMIT = "/api/v1/services/aigc/text2image/image-synthesis"


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    """A DashScope to practise with."""
    async with Simulator(secret=b"-", api_keys=(KEY,), drawing_seconds=0.0) as simulator:
        yield simulator


async def submitted(provider: Simulator, prompt: str = "a cat") -> str:
    """A task that holdfast has not heard of."""
    body = {"model": "stable-diffusion-xl", "input": {"prompt": prompt}, "parameters": {"n": 1}}
    headers = {"Authorization": f"Bearer {KEY}", "X-DashScope-Async": "enable"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(provider.base_url + SUBMIT, json=body, headers=headers) as answer,
    ):
        return (await answer.json())["output"]["task_id"]


async def run(folder: Path, base_url: str, *arguments: str, text: str | None = None) -> Result:
    """The command with this provider's address, in the archive in `folder`."""
    config = folder / "holdfast.toml"
    config.write_text(
        f'[catalog]\nurl = "sqlite:///{folder}/catalog.db"\n'
        f'[providers.dashscope]\nbase_url = "{base_url}"\nkeys = {{ main = "{KEY}" }}\n'
    )
    await asyncio.to_thread(migrate, folder / "catalog.db")
    typed = ["--config", str(config), *arguments]
    return await asyncio.to_thread(CliRunner().invoke, main, typed, input=text)


def heard(folder: Path) -> list[Observation]:
    """What the commands' inbox says."""
    reader = SqliteInboxReader(folder / "inbox" / "command.db")
    try:
        return [seen for one in reader.after(0, limit=99) for seen in observations(one)]
    finally:
        reader.close()


async def test_what_is_listed_and_unknown_is_adopted(tmp_path: Path, provider: Simulator) -> None:
    """Each task becomes an observation of its account, and no key is kept."""
    ids = {await submitted(provider), await submitted(provider)}
    await provider.idle()
    done = await run(tmp_path, provider.base_url, "adopt", "--provider", "dashscope", "--json")

    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    assert {row["id"] for row in told["adopted"]} == ids
    seen = heard(tmp_path)
    assert {one.generation_id for one in seen} == ids
    assert all(one.account for one in seen)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".toml"]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


async def test_a_dry_run_keeps_nothing(tmp_path: Path, provider: Simulator) -> None:
    """It only shows."""
    task_id = await submitted(provider)
    done = await run(tmp_path, provider.base_url, "adopt", "--provider=dashscope", "--dry-run")

    assert task_id in done.stdout
    assert "1 would be adopted, 0 known already" in done.stderr
    assert not (tmp_path / "inbox" / "command.db").exists()


async def test_a_key_that_is_refused_is_told(tmp_path: Path, provider: Simulator) -> None:
    """With the setting to mend, and without the key."""
    async with Simulator(secret=b"-", api_keys=("another",)) as elsewhere:
        done = await run(tmp_path, elsewhere.base_url, "adopt", "--provider", "dashscope")

    assert done.exit_code == 1
    assert "answered 401" in done.stderr
    assert "providers.dashscope.keys" in done.stderr
    assert KEY not in done.output


async def test_a_generation_is_watched_once(tmp_path: Path) -> None:
    """With its request or without; the same again is known."""
    request = '{"model": "m", "input": {"prompt": "a fox"}, "parameters": {"seed": 5}}'
    watch = ("watch", "dashscope", "t1", "--request", "-")
    first = await run(tmp_path, "https://here.example", *watch, text=request)
    again = await run(tmp_path, "https://here.example", *watch, text=request)
    bare = await run(tmp_path, "https://here.example", "watch", "dashscope", "t2")

    assert [one.output for one in (first, again, bare)] == [
        "dashscope/t1 is watched\n",
        "dashscope/t1 was known already\n",
        "dashscope/t2 is watched\n",
    ]
    assert [(one.generation_id, one.state, one.params.seed) for one in heard(tmp_path)] == [
        ("t1", GenerationState.QUEUED, 5),
        ("t2", GenerationState.QUEUED, None),
    ]


async def test_a_request_without_sense_is_refused(tmp_path: Path) -> None:
    """While the operator is still there to mend it."""
    watch = ("watch", "dashscope", "t1", "--request", "-")
    done = await run(tmp_path, "https://here.example", *watch, text="a fox")

    assert done.exit_code == 1
    assert "--request: the body is not JSON" in done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24h", timedelta(days=1)),
        ("90m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("0s", timedelta()),
    ],
)
def test_a_span_of_time(text: str, expected: timedelta) -> None:
    """A number and its unit."""
    assert span(text) == expected


@pytest.mark.parametrize("text", ["", "h", "24", "-1h", "1.5h", "24 h", "٣h", "999999h"])
def test_no_span_of_time(text: str) -> None:
    """Anything else is a mistake."""
    with pytest.raises(ValueError, match="is no span of time"):
        span(text)
