"""The practice DashScope on its bad days: each fault does what it says."""

from __future__ import annotations

import hashlib
from urllib.parse import unquote

import aiohttp
import pytest

from receiver.simulator import FAULTS
from tests.receiver.test_simulator_dashscope import GOOD, SUBMIT, Practice, practising

REFUSED = {
    "no_credit": (400, "Arrearage"),
    "rate_limited": (429, "Throttling.RateQuota"),
    "server_error": (500, "InternalError"),
}


async def status_of(practice: Practice, task_id: str) -> str:
    return (await practice.look(task_id))["output"]["task_status"]


@pytest.mark.parametrize("fault", REFUSED)
async def test_a_submission_can_be_refused(fault: str) -> None:
    """The real status and code come back, and nothing is begun."""
    async with practising() as practice:
        status, answer = await practice.say("POST", SUBMIT, GOOD, **{"X-Simulate": fault})
        assert (status, answer["code"]) == REFUSED[fault]
        assert practice.simulator.report() == []


async def test_an_unknown_fault_is_refused_with_all_known_ones() -> None:
    """A misspelt fault would quietly test nothing, in a header and in a prompt."""
    prompted = {**GOOD, "input": {"prompt": "a cat simulate:stuck,dead_lnik, running"}}
    async with practising() as practice:
        for body, headers in ((GOOD, {"X-Simulate": "dead_lnik"}), (prompted, {})):
            status, answer = await practice.say("POST", SUBMIT, body, **headers)
            assert (status, answer["code"]) == (400, "InvalidParameter")
            assert "names dead_lnik;" in answer["message"]
            assert all(name in answer["message"] for name in FAULTS["dashscope"])
        assert practice.simulator.report() == []


async def test_header_and_prompt_ask_together() -> None:
    """Faults of both are one set, and the words stay in the prompt."""
    body = {**GOOD, "input": {"prompt": "a cat, simulate:partial,refreshed, running"}}
    async with practising() as practice:
        await practice.say("POST", SUBMIT, body, **{"X-Simulate": "twice"})
        [row] = practice.simulator.report()
    assert row["faults"] == ["partial", "refreshed", "twice"]
    assert row["prompt"] == body["input"]["prompt"]


@pytest.mark.parametrize(
    ("faults", "n", "code"),
    [
        ("failed", 4, "InternalError.Timeout"),
        ("moderated", 4, "DataInspectionFailed"),
        ("partial", 1, "InternalError.Timeout"),
        ("partly_moderated", 1, "DataInspectionFailed"),
        ("partial,partly_moderated", 2, "DataInspectionFailed"),
    ],
)
async def test_a_task_can_fail(faults: str, n: int, code: str) -> None:
    """FAILED with its reason, without results and without anything billed."""
    async with practising() as practice:
        task_id = await practice.finish(f"simulate:{faults}", n=n)
        answer = await practice.look(task_id)
        output = answer["output"]
        assert ("FAILED", code) == (output["task_status"], output["code"])
        assert ("results" in output, "usage" in answer) == (False, False)
        assert output["task_metrics"] == {"TOTAL": n, "SUCCEEDED": 0, "FAILED": n}
        row = practice.report_of(task_id)
        assert (row["state"], row["pictures"]) == ("FAILED", [{"sha256": None, "downloads": 0}] * n)


@pytest.mark.parametrize(
    ("faults", "missing"),
    [
        ("partial", {2: "InternalError.Timeout"}),
        ("partly_moderated", {0: "DataInspectionFailed"}),
        ("partial,partly_moderated", {0: "DataInspectionFailed", 2: "InternalError.Timeout"}),
    ],
)
async def test_slots_can_fail_alone(faults: str, missing: dict[int, str]) -> None:
    """The task succeeds; in the place of a link stands the reason, and it is not billed."""
    async with practising() as practice:
        task_id = await practice.finish(f"simulate:{faults}", n=4)
        answer = await practice.look(task_id)
        output = answer["output"]
        drawn = 4 - len(missing)
        assert output["task_status"] == "SUCCEEDED"
        assert [missing.get(index) for index in range(4)] == [
            result.get("code") for result in output["results"]
        ]
        assert sorted(
            {tuple(result): list(result) for result in output["results"]}.values(), key=len
        ) == [["url"], ["code", "message"]]
        assert output["task_metrics"] == {"TOTAL": 4, "SUCCEEDED": drawn, "FAILED": len(missing)}
        assert answer["usage"] == {"image_count": drawn}
        shas = [picture["sha256"] for picture in practice.report_of(task_id)["pictures"]]
        assert set(missing) == {index for index, sha in enumerate(shas) if sha is None}


async def test_dropped_accepts_without_a_word() -> None:
    """The connection dies and the task is there; the same again is answered, and a second task."""
    async with practising() as practice:
        with pytest.raises(aiohttp.ClientConnectionError):
            await practice.ask("simulate:dropped")
        task_id = await practice.finish("simulate:dropped")
        first, second = practice.simulator.report()
        assert (task_id, "SUCCEEDED", "SUCCEEDED") == (
            second["id"],
            first["state"],
            second["state"],
        )


async def test_stuck_never_ends() -> None:
    """It is RUNNING, and nobody need wait for it."""
    async with practising() as practice:
        answer = await practice.look(await practice.finish("simulate:stuck", n=2))
    assert answer["output"]["task_status"] == "RUNNING"
    assert answer["output"]["task_metrics"] == {"TOTAL": 2, "SUCCEEDED": 0, "FAILED": 0}


async def test_throttled_refuses_the_first_queries() -> None:
    """429 a few times, and then the task as it stands."""
    async with practising(troubled_queries=2) as practice:
        task_id = await practice.finish("simulate:throttled")
        for _ in range(2):
            status, answer = await practice.say("GET", f"/tasks/{task_id}")
            assert (status, answer["code"]) == (429, "Throttling.RateQuota")
        assert await status_of(practice, task_id) == "SUCCEEDED"


async def test_html_status_answers_the_first_queries_with_a_page() -> None:
    """502 and HTML a few times, and then the task as it stands."""
    async with practising(troubled_queries=1) as practice:
        task_id = await practice.finish("simulate:html_status")
        url = f"{practice.simulator.base_url}/api/v1/tasks/{task_id}"
        async with practice.client.get(url, headers={"Authorization": "Bearer practice"}) as answer:
            assert (answer.status, answer.content_type) == (502, "text/html")
        assert await status_of(practice, task_id) == "SUCCEEDED"


async def test_purged_forgets_the_task_early() -> None:
    """It is UNKNOWN and not listed, while others are remembered; its links work on."""
    async with practising(purge_seconds=0) as practice:
        forgotten = await practice.finish("simulate:purged")
        remembered = await practice.finish()
        assert await status_of(practice, forgotten) == "UNKNOWN"
        _, listed = await practice.say("GET", "/tasks/")
        assert [remembered] == [row["task_id"] for row in listed["data"]]
        assert practice.report_of(forgotten)["state"] == "SUCCEEDED"


async def test_refreshed_links_replace_each_other() -> None:
    """Every query gives links that work, until the next query; downloads add up."""
    async with practising() as practice:
        task_id = await practice.finish("simulate:refreshed", n=2)
        first = await practice.urls(task_id)
        assert {200} == {(await practice.fetch(url))[0] for url in first}
        second = await practice.urls(task_id)
        for url in first:
            status, body = await practice.fetch(url)
            assert (status, b"Request has expired." in body) == (403, True)
        assert {200} == {(await practice.fetch(url))[0] for url in second}
        assert [picture["downloads"] for picture in practice.report_of(task_id)["pictures"]] == [
            2,
            2,
        ]


async def test_dead_links_never_worked() -> None:
    """403 in the storage service's own words, and a status query has no better link."""
    async with practising() as practice:
        task_id = await practice.finish("simulate:dead_link")
        for url in await practice.urls(task_id) + await practice.urls(task_id):
            status, body = await practice.fetch(url)
            assert status == 403
            assert body.endswith(b"<Message>Request has expired.</Message></Error>")


@pytest.mark.parametrize(
    ("fault", "status", "begins"),
    [("missing", 404, b"<?xml"), ("html", 200, b"<!doctype"), ("cut", 200, b"")],
)
async def test_links_fail_as_they_do_elsewhere(fault: str, status: int, begins: bytes) -> None:
    """What the CDN does to a Doitong picture it does to DashScope's."""
    async with practising() as practice:
        task_id = await practice.finish(f"simulate:{fault}")
        [url] = await practice.urls(task_id)
        answered, body = await practice.fetch(url)
        [picture] = practice.report_of(task_id)["pictures"]
        assert (status, True) == (answered, body.startswith(begins))
        assert picture["sha256"] != hashlib.sha256(body).hexdigest()


async def test_a_link_is_good_for_a_plain_get_alone() -> None:
    """HEAD, a GET with a Content-Type, and a signature unescaped are refused with 403."""
    async with practising() as practice:
        url = ""
        while "%2B" not in url:
            [url] = await practice.urls(await practice.finish())
        for verb, link, headers in (
            ("HEAD", url, {}),
            ("GET", url, {"Content-Type": "image/png"}),
            ("GET", unquote(url), {}),
        ):
            status, _ = await practice.fetch(link, verb, **headers)
            assert status == 403
        assert (await practice.fetch(url))[0] == 200


async def test_every_fault_is_taken() -> None:
    """Each name of the table is accepted by itself and has its ending."""
    ended = {"failed": "FAILED", "moderated": "FAILED", "stuck": "RUNNING"}
    names = FAULTS["dashscope"].keys() - REFUSED.keys() - {"dropped"}
    async with practising(late_seconds=0) as practice:
        for name in names:
            await practice.ask(f"simulate:{name}", n=2)
        await practice.simulator.idle()
        states = {row["faults"][0]: row["state"] for row in practice.simulator.report()}
    assert {name: ended.get(name, "SUCCEEDED") for name in names} == states
