"""What becomes of DashScope's tasks: queried, listed, canceled, forgotten, each account its own."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from tests.receiver.test_simulator_dashscope import SHANGHAI, practising


async def test_a_pending_task_can_be_canceled() -> None:
    """It is CANCELED for good, and nobody waits for it any longer."""
    async with practising(drawing_seconds=3600) as practice:
        task_id = await practice.ask()
        status, answer = await practice.say("POST", f"/tasks/{task_id}/cancel")
        assert (status, list(answer)) == (200, ["request_id"])
        await practice.simulator.idle()
        assert (await practice.look(task_id))["output"]["task_status"] == "CANCELED"
        assert practice.report_of(task_id)["state"] == "CANCELED"
        status, answer = await practice.say("POST", f"/tasks/{task_id}/cancel")
        assert (status, answer["code"]) == (400, "UnsupportedOperation")


@pytest.mark.parametrize("prompt", ["a running cat", "simulate:stuck"])
async def test_only_a_pending_task_can_be_canceled(prompt: str) -> None:
    """One that is over, under way, another account's or unknown is refused in the real words."""
    async with practising() as practice:
        task_id = await practice.finish(prompt)
        for path, key in (
            (task_id, "practice"),
            (task_id, "practice-2"),
            ("1111", "practice"),
        ):
            status, answer = await practice.say("POST", f"/tasks/{path}/cancel", key=key)
            assert (
                status,
                answer["code"],
                list(answer),
            ) == (400, "UnsupportedOperation", ["code", "message", "request_id"])


async def test_what_is_not_ones_own_is_unknown() -> None:
    """Another account's task and one that never was get HTTP 200, no times and no metrics."""
    async with practising() as practice:
        task_id = await practice.finish()
        for unknown, key in ((task_id, "practice-2"), ("1111", "practice")):
            answer = await practice.look(unknown, key)
            assert answer["output"] == {"task_id": unknown, "task_status": "UNKNOWN"}
        assert practice.report_of(task_id)["account"] == "practice"


async def test_a_task_is_forgotten_in_time() -> None:
    """After its life it is UNKNOWN and no longer listed."""
    async with practising(task_life_seconds=0) as practice:
        task_id = await practice.finish()
        assert (await practice.look(task_id))["output"]["task_status"] == "UNKNOWN"
        assert (await practice.say("GET", "/tasks/"))[1]["total"] == 0


async def test_the_list_holds_an_accounts_own_tasks() -> None:
    """The latest first, in pages, by model and status, with times in epoch milliseconds."""
    async with practising() as practice:
        ids = [await practice.finish() for _ in range(3)]
        failed = await practice.finish("simulate:failed", model="stable-diffusion-xl")
        await practice.finish(key="practice-2")
        status, answer = await practice.say("GET", "/tasks/")
        assert status == 200
        assert [failed, *reversed(ids)] == [row["task_id"] for row in answer["data"]]
        assert {name: answer[name] for name in ("total", "total_page", "page_no", "page_size")} == {
            "total": 4,
            "total_page": 1,
            "page_no": 1,
            "page_size": 10,
        }
        row = answer["data"][0]
        assert row["gmt_create"] <= row["start_time"] <= row["end_time"]
        ended_at = (await practice.look(failed))["output"]["end_time"]
        written = datetime.fromtimestamp(row["end_time"] / 1000, SHANGHAI).isoformat(" ")[:23]
        assert written == ended_at
        for query, expected in (
            ("?page_size=3&page_no=2", [ids[0]]),
            ("?status=FAILED", [failed]),
            ("?model_name=stable-diffusion-xl&page_no=1", [failed]),
            ("?status=PENDING", []),
            ("?start_time=20200101000000", []),
        ):
            _, answer = await practice.say("GET", f"/tasks/{query}")
            assert expected == [row["task_id"] for row in answer["data"]]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("start_time=20260101000000&end_time=20260102000000", 200),
        ("start_time=20260101000000&end_time=20260102000001", 400),
        ("start_time=20260102000000&end_time=20260101000000", 400),
        ("start_time=20261301000000", 400),
        ("end_time=yesterday", 400),
        ("start_time=99991231235959", 400),
        ("end_time=00010101000000", 400),
        ("page_no=0", 400),
        ("page_size=101", 400),
        ("page_size=-1", 400),
    ],
)
async def test_the_list_looks_at_a_day(query: str, status: int) -> None:
    """A window beyond 24 hours is refused, and so is what is no time or no number."""
    async with practising() as practice:
        answered, answer = await practice.say("GET", f"/tasks/?{query}")
    assert status == answered
    assert status == 200 or answer["code"] == "InvalidParameter"


async def test_queries_can_be_limited() -> None:
    """Of many at once some are refused, to this account alone, and nothing is wrong with tasks."""
    async with practising(queries_per_second=1) as practice:
        queries = [practice.say("GET", "/tasks/1111") for _ in range(50)]
        answers = await asyncio.gather(*queries)
        assert {answer.get("code") for _, answer in answers} == {None, "Throttling.RateQuota"}
        assert {status for status, _ in answers} == {200, 429}
        assert (await practice.say("GET", "/tasks/1111", key="practice-2"))[0] == 200
