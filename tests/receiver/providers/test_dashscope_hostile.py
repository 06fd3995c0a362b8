"""What DashScope never sends, and what no order of its words may change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import UnreadableError
from archiver.merging import merge
from archiver.models import DeliveryRef, Generation, Heard, Observation
from receiver.exchange import Exchange, encode
from receiver.providers.dashscope import DASHSCOPE
from tests.clocks import NOON
from tests.receiver.providers.dashscope_bodies import (
    CANCEL,
    LIST,
    MODERATION,
    OTHER_URL,
    SUBMIT,
    TASK,
    TASK_ID,
    TIMEOUT,
    URL,
    exchanged,
    finished,
    remembered,
    submitted,
    task,
)

FINISHED = "dashscope:System:AsyncTaskFinish"
UNREADABLE: dict[str, bytes] = {
    "nothing": b"",
    "cut short": b'{"output": {',
    "a list": b"[]",
    "no UTF-8": b'{"output": "\xff"}',
    "half a surrogate pair": rb'{"output": "\ud800"}',
    "too deep": b'{"output": ' + b"[" * 100_000,
    "NaN": b'{"output": NaN}',
}
WORDS = st.sampled_from(
    [
        *("SUCCEEDED", "FAILED", "CANCELED", "RUNNING", "UNKNOWN", "PENDING", FINISHED),
        *("InternalError.Timeout", "DataInspectionFailed", "Success", "512*512", URL, OTHER_URL),
        *("2024-03-01 17:38:24.817", "2024-03-03 17:38:24", "oss://a", "7", '{"url": "http://a"}'),
        "apikey:v1:aigc:text2image:image-synthesis:wanx-v1",
    ]
)
KEYS = st.text(max_size=3) | st.sampled_from(
    [
        *("output", "usage", "data", "type", "time", "output_result", "request_id", "task_id"),
        *("task_status", "status", "results", "url", "video_url", "code", "message", "error_code"),
        *("error_message", "task_metrics", "task_metric", "TOTAL", "choices", "content", "image"),
        *("text_results", "urls", "orig_prompt", "submit_time", "gmt_create", "end_time", "text"),
        *("user_api_unique_key", "model_name", "model", "input", "parameters", "prompt", "n"),
        *("negative_prompt", "size", "steps", "scale", "seed", "messages", "ref_img", "images"),
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=6)
STATUSES = st.sampled_from([200, 201, 400, 404, 429, 500])
PLACES = st.sampled_from(
    [("GET", TASK), ("GET", LIST), ("POST", CANCEL), ("POST", SUBMIT), ("GET", "/tasks/%20")]
)


def understood(heard: Heard, body: bytes) -> tuple[Observation, ...]:
    """What a body says, nothing if it is unreadable; anything else is an error of the test."""
    try:
        return DASHSCOPE.parse(heard, "token", body)
    except UnreadableError:
        return ()


def assert_fit(observation: Observation) -> None:
    """It can be stored, its links be followed, and its words be read by anyone."""
    assert observation.provider == "dashscope"
    assert observation.generation_id.strip()
    repr(observation).encode()
    assert [slot.index for slot in observation.slots] == list(range(len(observation.slots)))
    links = [slot.url for slot in observation.slots if slot.url is not None]
    links += [seen.url for seen in observation.inputs if seen.url]
    assert all(link.lower().startswith(("http://", "https://")) for link in links)
    failures = (observation.failure, *(slot.failure for slot in observation.slots))
    for failure in failures:
        assert failure is None or failure.message
        assert "secret" not in repr(failure)
    assert observation.service is None


class TestHostile:
    """It is understood, or it is said to be unreadable."""

    @pytest.mark.parametrize("heard", [Heard.PUSHED, Heard.REMEMBERED])
    @pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
    def test_unreadable(self, body: bytes, heard: Heard) -> None:
        """What cannot be read is said to be so, in one way only."""
        with pytest.raises(UnreadableError, match="the body is"):
            DASHSCOPE.parse(heard, "token", body)

    @pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE)
    def test_unreadable_answers(self, answer: bytes) -> None:
        """So are the answers to a poll."""
        with pytest.raises(UnreadableError, match="the body is"):
            exchanged("GET", TASK, answer)

    @pytest.mark.parametrize("heard", [Heard.POLLED, Heard.OVERHEARD])
    def test_no_exchange(self, heard: Heard) -> None:
        """Nor is a delivery read that holds none."""
        with pytest.raises(UnreadableError, match="no exchange"):
            DASHSCOPE.parse(heard, "", b"{}")

    @given(st.sampled_from(Heard), st.binary())
    def test_any_bytes(self, heard: Heard, body: bytes) -> None:
        """No bytes raise anything but UnreadableError."""
        understood(heard, body)

    @given(PLACES, STATUSES, st.text(), st.binary(), st.binary())
    def test_any_exchange(
        self, place: tuple[str, str], status: int, suffix: str, request: bytes, answer: bytes
    ) -> None:
        """No answers either, wherever they come from."""
        method, path = place
        said = Exchange(
            method=method, path=path + suffix, status=status, request=request, answer=answer
        )

        understood(Heard.OVERHEARD, encode(said))

    @given(DOCUMENTS, DOCUMENTS, PLACES, STATUSES)
    def test_any_answer(
        self,
        request: dict[str, Any],
        document: dict[str, Any],
        place: tuple[str, str],
        status: int,
    ) -> None:
        """No documents either, and what is understood of them is fit to be kept."""
        method, path = place
        for answer in (document, {"output": {"task_id": "a", **document}}, {"data": [document]}):
            said = Exchange(
                method=method,
                path=path,
                status=status,
                request=json.dumps(request).encode(),
                answer=json.dumps(answer).encode(),
            )
            for observation in understood(Heard.OVERHEARD, encode(said)):
                assert_fit(observation)

    @given(DOCUMENTS)
    def test_any_event_or_request(self, document: dict[str, Any]) -> None:
        """Nor what is pushed or told."""
        event = {"type": FINISHED, "data": {"task_id": "a", **document}}
        for heard, said in (
            (Heard.PUSHED, event),
            (Heard.PUSHED, document),
            (Heard.REMEMBERED, {"prompt": "a", **document}),
        ):
            for observation in understood(heard, json.dumps(said).encode()):
                assert_fit(observation)

    @pytest.mark.parametrize("place", ["results", "choices", "task_metrics", "code", "task_id"])
    def test_no_depth_breaks_it(self, place: str) -> None:
        """Around the depth at which the interpreter gives up, too."""
        for depth in (10, 100, *range(850, 1000, 3), 10_000):
            nested = b"[" * depth + b"]" * depth
            body = b'{"output": {"task_status": "SUCCEEDED", "%s": %s}}' % (place.encode(), nested)
            understood(
                Heard.POLLED, encode(Exchange(method="GET", path=TASK, status=200, answer=body))
            )


REQUEST = {
    "model": "wanx-v1",
    "input": {"prompt": "a cat"},
    "parameters": {"n": 3, "size": "512*512", "seed": 42},
}
RESULTS = [{"url": URL}, TIMEOUT, {"url": OTHER_URL}]
METRICS = {"TOTAL": 3, "SUCCEEDED": 2, "FAILED": 1}
TIMES = {"submit_time": "2026-11-21 19:59:00.123", "end_time": "2026-11-21 20:00:00"}

# All that may be heard of one generation, in whatever order it comes.
HISTORY: tuple[Observation, ...] = (
    submitted(REQUEST),
    remembered(REQUEST),
    task(task_status="PENDING"),
    task(task_status="RUNNING", task_metrics=METRICS),
    task(task_status="UNKNOWN"),
    *finished(),
    *finished(task_status="FAILED"),
    task(task_status="SUCCEEDED", results=RESULTS, task_metrics=METRICS, **TIMES),
    task(task_status="SUCCESSED", results=[{"url": URL}, MODERATION, {"url": OTHER_URL}]),
    task(task_status="FAILED", **TIMEOUT),
    *exchanged("GET", LIST, {"data": [{"task_id": TASK_ID, "status": "SUCCEEDED"}]}),
    *exchanged("POST", CANCEL, {"request_id": "r"}),
)


def known_after(order: list[int]) -> Generation:
    """What is known once these were heard, each as the delivery of its own number."""
    known: Generation | None = None
    for position in order:
        known = merge(
            known,
            HISTORY[position],
            heard_in=DeliveryRef(inbox="inbox", position=position),
            received_at=NOON,
            link_lifetime=DASHSCOPE.link_lifetime,
        )
    assert known is not None
    return known


@given(
    st.lists(st.sampled_from(range(len(HISTORY))), min_size=1, unique=True).flatmap(
        lambda heard: st.tuples(
            st.permutations(heard), st.permutations(heard), st.lists(st.sampled_from(heard))
        )
    )
)
def test_any_order_and_repetition_end_the_same(orders: tuple[list[int], ...]) -> None:
    """Polls, events and requests may come late, twice and crosswise."""
    one, other, again = orders

    assert known_after(one) == known_after([*other, *again])


def test_the_whole_story() -> None:
    """In the end a picture each, but for the one that was lost, drawn with its seed plus one."""
    known = known_after([0, 5, 7])

    assert [len(slot.links) for slot in known.slots] == [1, 0, 1]
    assert [slot.state.value for slot in known.slots] == ["linked", "held", "linked"]
    assert (known.state.value, known.params.seed) == ("partial", 42)
