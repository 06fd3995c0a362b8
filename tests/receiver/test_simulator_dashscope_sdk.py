"""The vendor's own client, dashscope, against the practice DashScope.

It is synchronous and keeps global settings, so it runs in a process of its own; it asks once a
second, so everything that waits, waits at the same time.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tests.receiver.test_simulator_dashscope import practising

BLOCKING = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from dashscope import ImageSynthesis

def call(prompt):
    return ImageSynthesis.call(model="stable-diffusion-v1.5", prompt=prompt, n=3, size="512*512")

prompts = ["a running cat", "simulate:partial", "simulate:failed", "simulate:dropped"]
with ThreadPoolExecutor() as pool:
    print(json.dumps(list(pool.map(call, prompts))))
"""

STEP_BY_STEP = """
import json, sys
from dashscope import ImageSynthesis

task = ImageSynthesis.async_call(model="stable-diffusion-v1.5", prompt="simulate:html_status")
pending = ImageSynthesis.fetch(task)
canceled = ImageSynthesis.cancel(task)
again = ImageSynthesis.cancel(task)
waited = ImageSynthesis.wait(task)
listed = ImageSynthesis.list(status="CANCELED", model_name="stable-diffusion-v1.5")
print(json.dumps([task, pending, canceled, again, waited, listed]))
"""


async def spoken(script: str, base_url: str) -> list[dict[str, Any]]:
    """What the client was answered, as it understood it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        env={
            "DASHSCOPE_HTTP_BASE_URL": f"{base_url}/api/v1",
            "DASHSCOPE_API_KEY": "practice",
            "NO_PROXY": "*",
        },
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(said.splitlines()[-1])


async def test_the_client_sees_success_part_of_it_and_failure() -> None:
    """`call` returns links for what was drawn; a dropped submission it sends again."""
    async with practising() as practice:
        good, partial, failed, dropped = await spoken(BLOCKING, practice.simulator.base_url)
        assert [it["status_code"] for it in (good, partial, failed, dropped)] == [200] * 4
        assert [bool(result["url"]) for result in good["output"]["results"]] == [True] * 3
        assert good["usage"]["image_count"] == 3
        for result in good["output"]["results"]:
            assert (await practice.fetch(result["url"]))[0] == 200
        # The client adds an empty url to what has none.
        assert [bool(result["url"]) for result in partial["output"]["results"]] == [
            True,
            False,
            True,
        ]
        assert partial["output"]["results"][1]["code"] == "InternalError.Timeout"
        assert partial["output"]["task_metrics"] == {"TOTAL": 3, "SUCCEEDED": 2, "FAILED": 1}
        assert (
            failed["output"]["task_status"],
            failed["output"]["code"],
        ) == ("FAILED", "InternalError.Timeout")
        assert dropped["output"]["task_status"] == "SUCCEEDED"
        prompts = [row["prompt"] for row in practice.simulator.report()]
        assert prompts.count("simulate:dropped") == 2


async def test_the_client_follows_a_task_step_by_step() -> None:
    """`async_call`, `fetch`, `cancel`, `wait` and `list` are answered as they expect."""
    async with practising(drawing_seconds=3600, troubled_queries=0) as practice:
        task, pending, canceled, again, waited, listed = await spoken(
            STEP_BY_STEP, practice.simulator.base_url
        )
        [row] = practice.simulator.report()
    assert [it["status_code"] for it in (task, pending, canceled, again, waited, listed)] == [
        200,
        200,
        200,
        400,
        200,
        200,
    ]
    assert task["output"]["task_id"] == row["id"]
    assert pending["output"]["task_status"] == "PENDING"
    assert again["code"] == "UnsupportedOperation"
    assert waited["output"]["task_status"] == "CANCELED"
    assert (1, row["id"]) == (listed["output"]["total"], listed["output"]["data"][0]["task_id"])
