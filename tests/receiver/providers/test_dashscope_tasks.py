"""What DashScope says of a task: how far it is, slot by slot, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from archiver.models import (
    Failure,
    FailureClass,
    GenerationParams,
    GenerationState,
    Observation,
    SlotObservation,
)
from tests.receiver.providers.dashscope_bodies import (
    MODERATED,
    MODERATION,
    OTHER_URL,
    TASK_ID,
    TIMED_OUT,
    TIMEOUT,
    URL,
    polled,
    slots,
    task,
)

QUEUED, RUNNING, LOST = GenerationState.QUEUED, GenerationState.RUNNING, GenerationState.LOST
FAILED, CANCELED = GenerationState.FAILED, GenerationState.CANCELED
PARTIAL, SUCCEEDED = GenerationState.PARTIAL, GenerationState.SUCCEEDED

NOTHING_CAME = Failure(
    failure_class=FailureClass.RENDERABLE, message="the task ended without this picture"
)


STATES: dict[object, GenerationState] = {
    "PENDING": QUEUED,
    "RUNNING": RUNNING,
    "SUSPENDED": RUNNING,
    "SUCCEEDED": SUCCEEDED,
    "SUCCESSED": SUCCEEDED,
    "succeeded": SUCCEEDED,
    " SUCCEEDED\n": SUCCEEDED,
    "FAILED": FAILED,
    "CANCELED": CANCELED,
    "CANCELLED": CANCELED,
    "UNKNOWN": RUNNING,
    "THINKING": RUNNING,
    7: RUNNING,
}


class TestState:
    """One word each, but for what the results know better."""

    @pytest.mark.parametrize(("word", "state"), STATES.items(), ids=repr)
    def test_words(self, word: object, state: GenerationState) -> None:
        """In both spellings where the document has two; a word unknown is no end."""
        observation = task(task_status=word, results=[{"url": URL}] if state is SUCCEEDED else None)

        assert observation.state is state

    @pytest.mark.parametrize("word", [*STATES, None, ""], ids=repr)
    def test_odd_words(self, word: object) -> None:
        """A word that nobody knows is told of; one that is missing, or no text, is none."""
        odd = word if word == "THINKING" else None

        assert task(task_status=word).odd_status == odd
        assert task(task_status="", status=word).odd_status == odd

    def test_unknown_says_nothing_more(self) -> None:
        """It is said of a task too new, too old, and another's: age decides, and nobody has it."""
        assert task(task_status="UNKNOWN") == Observation(
            provider="dashscope", generation_id=TASK_ID, state=RUNNING, unknown=True
        )

    @pytest.mark.parametrize(
        ("submit_time", "end_time", "state"),
        [
            ("2026-11-20 08:00:00.000", "2026-11-21 07:59:59.999", RUNNING),
            ("2026-11-20 08:00:00.000", "2026-11-21 08:00:00", LOST),
            ("2026-11-21 08:00:00", "2026-11-20 08:00:00", LOST),
            ("2026-11-20 08:00:00", None, RUNNING),
        ],
    )
    def test_unknown_with_times(
        self, submit_time: str, end_time: str | None, state: GenerationState
    ) -> None:
        """Where the document itself proves that a day has passed, the record is gone for good."""
        observation = task(task_status="UNKNOWN", submit_time=submit_time, end_time=end_time)

        assert observation.state is state

    def test_a_canceled_task_has_no_failure(self) -> None:
        """Somebody wanted it so."""
        assert task(task_status="CANCELED", message="canceled").failure is None


RESULTS: dict[str, tuple[dict[str, Any], GenerationState, tuple[SlotObservation, ...]]] = {
    "all came": ({"results": [{"url": URL}, {"url": OTHER_URL}]}, SUCCEEDED, slots(URL, OTHER_URL)),
    "one failed": ({"results": [TIMEOUT, {"url": URL}]}, PARTIAL, slots(TIMED_OUT, URL)),
    "one failed, as the SDK tells it": (
        {"results": [{"url": "", **TIMEOUT}, {"url": URL}]},
        PARTIAL,
        slots(TIMED_OUT, URL),
    ),
    "one was moderated": (
        {"results": [{"url": URL}, MODERATION]},
        PARTIAL,
        slots(URL, MODERATED),
    ),
    "all failed, and it is called a success": (
        {"results": [TIMEOUT, MODERATION]},
        FAILED,
        slots(TIMED_OUT, MODERATED),
    ),
    "a link beside a code": ({"results": [{"url": URL, **TIMEOUT}]}, SUCCEEDED, slots(URL)),
    "style repaint: an error_code that is none": (
        {"results": [{"url": URL, "error_code": 0, "error_message": "Success"}]},
        SUCCEEDED,
        slots(URL),
    ),
    "success without a link is no failure": (
        {"results": [{"error_code": 0, "error_message": "Success"}]},
        RUNNING,
        slots(None),
    ),
    "an error_code that is one": (
        {"results": [{"url": URL}, {"error_code": 1013, "error_message": "no face"}]},
        PARTIAL,
        slots(
            URL,
            Failure(failure_class=FailureClass.RENDERABLE, code="1013", message="no face"),
        ),
    ),
    "results are URLs, as by the table": (
        {"results": [URL, OTHER_URL]},
        SUCCEEDED,
        slots(URL, OTHER_URL),
    ),
    "fewer results than expected": (
        {"results": [{"url": URL}], "task_metrics": {"TOTAL": 2, "SUCCEEDED": 1, "FAILED": 1}},
        PARTIAL,
        slots(URL, NOTHING_CAME),
    ),
    "fewer results, and the task knows why": (
        {"results": [{"url": URL}], "task_metrics": {"TOTAL": 2}, **MODERATION},
        PARTIAL,
        slots(URL, MODERATED),
    ),
    "a place that is empty": ({"results": [None, {"url": URL}]}, PARTIAL, slots(NOTHING_CAME, URL)),
    "text upon the pictures": (
        {"results": [{"url": URL}], "text_results": {"urls": [OTHER_URL]}},
        SUCCEEDED,
        slots(URL, OTHER_URL),
    ),
    "a conversation": (
        {
            "choices": [
                {"message": {"content": [{"image": URL}, {"text": "done"}]}},
                {"message": {"content": [{"image": OTHER_URL, "type": "image"}]}},
                {"message": {"content": "nothing"}},
                {"message": None},
                "nothing",
            ],
            "task_metric": {"TOTAL": 2, "SUCCEEDED": 2, "FAILED": 0},
        },
        SUCCEEDED,
        slots(URL, OTHER_URL),
    ),
    "a video": ({"video_url": URL}, SUCCEEDED, slots(URL)),
    "a video among results": ({"results": {"video_url": URL}}, SUCCEEDED, slots(URL)),
    "an enlarged picture": ({"output_image_url": URL}, SUCCEEDED, slots(URL)),
    "nothing": ({}, RUNNING, ()),
    "nothing of how many": ({"task_metrics": {"TOTAL": 2}}, RUNNING, slots(None, None)),
    "of too many": ({"task_metrics": {"TOTAL": 10**6}}, RUNNING, ()),
    "no results but a speech's": ({"results": [{"transcription_url": URL}]}, RUNNING, slots(None)),
    "no list": ({"results": 7, "choices": 7, "text_results": 7, "task_metrics": 7}, RUNNING, ()),
}


class TestSlots:
    """The position among the results is the slot."""

    @pytest.mark.parametrize("word", ["SUCCEEDED", "SUCCESSED"])
    @pytest.mark.parametrize(("output", "state", "expected"), RESULTS.values(), ids=RESULTS)
    def test_success(
        self,
        output: dict[str, Any],
        state: GenerationState,
        expected: tuple[SlotObservation, ...],
        word: str,
    ) -> None:
        """Of a success, slot by slot; one that lacks any link is not over yet."""
        observation = task(task_status=word, **output)

        assert observation.slots == expected
        assert observation.state is state
        assert (observation.failure is not None) == (state is FAILED)

    @pytest.mark.parametrize("place", ["output", "usage"])
    def test_metrics(self, place: str) -> None:
        """By the table they stand in `usage`, by the samples in `output`."""
        output: dict[str, Any] = {"task_id": TASK_ID, "task_status": "RUNNING"}
        answer: dict[str, Any] = {"output": output, "usage": {"image_count": 2}}
        answer[place]["task_metrics"] = {"TOTAL": 4, "SUCCEEDED": 1, "FAILED": 1}

        assert polled(answer).slots == slots(None, None, None, None)

    def test_metrics_of_a_conversation(self) -> None:
        """qwen-image and wan2.6 have but one metric, by its name."""
        assert task(task_status="RUNNING", task_metric={"TOTAL": 2}).slots == slots(None, None)

    def test_while_it_runs(self) -> None:
        """What is there already may be fetched; what is not may still come."""
        running = task(task_status="RUNNING", results=[{"url": URL}], task_metrics={"TOTAL": 2})

        assert (running.state, running.slots) == (RUNNING, slots(URL, None))

    def test_a_failed_task_with_a_picture(self) -> None:
        """Its picture is fetched all the same."""
        failed = task(task_status="FAILED", results=[{"url": URL}, TIMEOUT], **TIMEOUT)

        assert (failed.state, failed.slots) == (FAILED, slots(URL, TIMED_OUT))
        assert failed.failure == TIMED_OUT

    def test_pictures_counted_are_no_price(self) -> None:
        """`image_count` is what is billed, but not in money."""
        output = {"task_id": TASK_ID, "task_status": "SUCCEEDED", "results": [{"url": URL}]}

        assert polled({"output": output, "usage": {"image_count": 1}}).cost is None

    def test_the_prompt_as_it_was_asked(self) -> None:
        """wanx2.x repeats it beside its own rewriting."""
        results = [TIMEOUT, {"url": URL, "orig_prompt": "a cat", "actual_prompt": "A fluffy cat"}]

        assert task(task_status="SUCCEEDED", results=results).params == GenerationParams(
            prompt="a cat"
        )


class TestTimes:
    """Shanghai's, without saying so."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2024-03-01 17:38:24.817", datetime(2024, 3, 1, 9, 38, 24, 817_000, tzinfo=UTC)),
            ("2024-03-01 17:38:24", datetime(2024, 3, 1, 9, 38, 24, tzinfo=UTC)),
            ("2024-03-01T09:38:24Z", datetime(2024, 3, 1, 9, 38, 24, tzinfo=UTC)),
            ("1990-07-01 08:00:00", datetime(1990, 7, 1, 0, 0, tzinfo=UTC)),
            (1709285904817, datetime(2024, 3, 1, 9, 38, 24, 817_000, tzinfo=UTC)),
            ("0001-01-01 00:00:00", None),
            ("soon", None),
            (10**20, None),
            (True, None),
            (None, None),
        ],
    )
    def test_times(self, text: object, expected: datetime | None) -> None:
        """Eight hours ahead of UTC the whole year, milliseconds or not."""
        observation = task(task_status="RUNNING", submit_time=text, end_time=text)

        assert (observation.created_at, observation.completed_at) == (expected, expected)
