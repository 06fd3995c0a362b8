"""DashScope's answers about tasks of which we hold pictures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from archiver.models import GenerationState
from receiver.exchange import Request
from receiver.providers.dashscope_heal import asked_id, healed
from tests.receiver.providers.dashscope_bodies import (
    CANCEL,
    LIST,
    SUBMIT,
    TASK,
    TASK_ID,
    TIMED_OUT,
    TIMEOUT,
    URL,
    polled,
)
from tests.receiver.providers.holdings import asset, generation

OURS = "http://127.0.0.1:8082/gateway/pictures/1.png?expires=1&signature=s"
UNKNOWN = {"request_id": "r", "output": {"task_id": TASK_ID, "task_status": "UNKNOWN"}}
FAILED = {"request_id": "r", "output": {"task_id": TASK_ID, "task_status": "FAILED", **TIMEOUT}}


def answered(answer: Any, *slots: Any) -> Any:
    """The healed answer where the first slot's picture lies at `OURS`."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    known = generation("dashscope", TASK_ID, *(slots or (asset(),)))
    said = healed(known, {0: OURS}, Request(method="GET", path=TASK), body)
    return None if said is None else json.loads(said)


@pytest.mark.parametrize("answer", [UNKNOWN, FAILED, b"<html>", b"{}"])
def test_it_is_the_documented_success(answer: Any) -> None:
    """Whatever was answered, key for key; times are Shanghai's; nothing of a failure is left."""
    found = answered(answer, asset(), TIMED_OUT)
    request_id = "r" if isinstance(answer, dict) else ""
    assert found == {
        "request_id": request_id,
        "output": {
            "task_id": TASK_ID,
            "task_status": "SUCCEEDED",
            "submit_time": "2026-11-20 09:02:03.000",
            "results": [{"url": OURS}, TIMEOUT],
            "task_metrics": {"TOTAL": 2, "SUCCEEDED": 1, "FAILED": 1},
        },
        "usage": {"image_count": 1},
    }


def test_it_reads_as_a_success() -> None:
    """Our own parser, which reads the provider's, sees the link and the slot that failed."""
    seen = polled(answered(UNKNOWN, asset(), TIMED_OUT))
    assert seen.state is GenerationState.PARTIAL
    assert [slot.url for slot in seen.slots] == [OURS, None]
    assert [slot.failure for slot in seen.slots] == [None, TIMED_OUT]


def test_what_else_was_told_stays() -> None:
    """Of a success whose links have died: times, usage, and what stands beside a link."""
    result = {"url": URL, "orig_prompt": "a cat", "error_code": 0, "error_message": "Success"}
    output = {"task_id": TASK_ID, "end_time": "2026-11-20 10:00:00", "results": [result]}
    found = answered({"output": output, "usage": {"image_count": 1, "size": "1*1"}})
    assert found["output"]["end_time"] == "2026-11-20 10:00:00"
    assert found["output"]["results"] == [{"url": OURS, "orig_prompt": "a cat"}]
    assert found["usage"] == {"image_count": 1, "size": "1*1"}


def test_a_lost_slot_has_a_reason() -> None:
    """Even where nobody gave one."""
    found = answered(UNKNOWN, asset(), None)
    assert found["output"]["results"][1] == {
        "code": "InternalError",
        "message": "the picture was lost",
    }


def test_a_video_has_its_own_name() -> None:
    """And no list of results."""
    output = answered(UNKNOWN, asset(media_type="video/mp4"))["output"]
    assert (output["video_url"], "results" in output) == (OURS, False)


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", TASK, TASK_ID),
        ("GET", "/api/v1/tasks/a%2Fb?x=1", "a/b"),
        ("GET", LIST, None),
        ("POST", CANCEL, None),
        ("POST", SUBMIT, None),
    ],
)
def test_after_which_task_is_asked(method: str, path: str, wanted: str | None) -> None:
    """After none by lists, cancellations and submissions."""
    assert asked_id(Request(method=method, path=path)) == wanted


def test_pictures_in_the_newer_shape_are_left() -> None:
    """Their client would not find them in the older."""
    assert answered({"output": {"task_status": "SUCCEEDED", "choices": []}}) is None
