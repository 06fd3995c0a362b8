"""DashScope's events and lists, which tell that a task ended and seldom what came of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from archiver.errors import UnreadableError
from archiver.models import GenerationParams, GenerationState, Observation
from tests.receiver.providers.dashscope_bodies import (
    LIST,
    MODERATED,
    MODERATION,
    TASK_ID,
    TIMED_OUT,
    TIMEOUT,
    URL,
    exchanged,
    finished,
    pushed,
    slots,
)


class TestEvents:
    """EventBridge brings word that a task ended, and seldom what came of it."""

    def test_success(self) -> None:
        """Without its results a poll must follow at once; the model is the last part of the key."""
        assert finished() == (
            Observation(
                provider="dashscope",
                generation_id=TASK_ID,
                state=GenerationState.RUNNING,
                hint=True,
                params=GenerationParams(task="text-to-image", model="wanx-v1"),
                created_at=datetime(2023, 10, 25, 1, 45, 9, tzinfo=UTC),
                completed_at=datetime(2023, 10, 25, 1, 45, 16, tzinfo=UTC),
            ),
        )

    def test_results_aboard(self) -> None:
        """Some events carry them; then nothing more need be asked."""
        output = {
            "task_id": TASK_ID,
            "task_status": "SUCCEEDED",
            "results": [{"url": URL}, TIMEOUT],
        }
        (observation,) = finished(contain_result=True, output_result={"output": output})

        assert (observation.state, observation.slots) == (
            GenerationState.PARTIAL,
            slots(URL, TIMED_OUT),
        )

    def test_a_failure_without_its_reason(self) -> None:
        """It may have been moderation, so nothing is to be drawn before a poll has asked."""
        (observation,) = finished(task_status="FAILED")

        assert (observation.state, observation.failure) == (GenerationState.RUNNING, None)
        assert observation.hint

    def test_a_failure_with_its_reason(self) -> None:
        """Then it is over."""
        (observation,) = finished(task_status="FAILED", output_result={"output": MODERATION})

        assert (observation.state, observation.failure) == (GenerationState.FAILED, MODERATED)

    def test_a_failure_whose_slots_have_reasons(self) -> None:
        """Then it is over, too."""
        (observation,) = finished(
            task_status="FAILED", output_result={"output": {"results": [MODERATION]}}
        )

        assert observation.state is GenerationState.FAILED
        assert observation.slots == slots(MODERATED)

    @pytest.mark.parametrize(
        ("end_time", "state"),
        [
            ("2026-11-20 08:00:00", GenerationState.LOST),
            ("2026-11-20 08:00:01", GenerationState.RUNNING),
        ],
    )
    def test_unknown(self, end_time: str, state: GenerationState) -> None:
        """An event has a time of its own, by which the task's age is known."""
        times = {"start_time": end_time, "end_time": end_time}
        event = {"time": "2026-11-21T00:00:00Z", "type": "dashscope:System:AsyncTaskFinish"}
        data = {"task_id": TASK_ID, "task_status": "UNKNOWN", **times}
        (observation,) = pushed({**event, "data": data})

        assert observation.state is state

    @pytest.mark.parametrize("word", ["CANCELED", "CANCELLED"])
    def test_canceled(self, word: str) -> None:
        """That needs no more words."""
        (observation,) = finished(task_status=word)

        assert observation.state is GenerationState.CANCELED

    @pytest.mark.parametrize(
        ("key", "params"),
        [
            (
                "apikey:v1:aigc:image2video:video-synthesis:wanx2.1-kf2v:plus",
                GenerationParams(task="image2video", model="wanx2.1-kf2v:plus"),
            ),
            ("wanx-v1", GenerationParams()),
            (None, GenerationParams()),
            (7, GenerationParams()),
        ],
    )
    def test_keys(self, key: object, params: GenerationParams) -> None:
        """Five parts before the model; a key of another shape says nothing."""
        (observation,) = finished(user_api_unique_key=key)

        assert observation.params == params

    @pytest.mark.parametrize(
        "event",
        [
            {},
            {"type": "oss:ObjectCreated:PutObject", "data": {"task_id": "a"}},
            {"type": None, "data": {"task_id": "a"}},
        ],
    )
    def test_other_events(self, event: dict[str, Any]) -> None:
        """A bus carries the whole account's events; they are of no concern."""
        assert pushed(event) == ()

    def test_other_tasks(self) -> None:
        """Speech and embeddings are tasks, too, and make no pictures."""
        key = "apikey:v1:audio:asr:transcription:paraformer-8k-v1"

        assert finished(user_api_unique_key=key) == ()

    @pytest.mark.parametrize("task_id", [None, "", " ", True, []])
    def test_an_event_of_no_task_is_unreadable(self, task_id: object) -> None:
        """It is ours, and says nothing."""
        with pytest.raises(UnreadableError, match="names no task"):
            finished(task_id=task_id)


ROW = {
    "api_key_id": "15",
    "end_time": 1745568302481,
    "gmt_create": 1745568293253,
    "model_name": "wanx2.1-t2i-turbo",
    "region": "cn-beijing",
    "request_id": "r",
    "start_time": 1745568293273,
    "status": "SUCCEEDED",
    "task_id": "3c777dbc",
    "user_api_unique_key": "apikey:v1:aigc:text2image:image-synthesis:wanx2.1-t2i-turbo",
}


class TestList:
    """Every task of the account in a day; no links, and times in milliseconds."""

    def test_rows(self) -> None:
        """One observation each, as of an event without results; other tasks are left out."""
        speech = {**ROW, "user_api_unique_key": "apikey:v1:embeddings:a:b:c"}
        rows = [ROW, {**ROW, "task_id": "b", "status": "PENDING"}, speech, {"status": "FAILED"}, 7]
        first, second = exchanged("GET", LIST, {"total": 5, "data": rows, "page_no": 1})

        assert first == Observation(
            provider="dashscope",
            generation_id="3c777dbc",
            state=GenerationState.RUNNING,
            hint=True,
            params=GenerationParams(task="text-to-image", model="wanx2.1-t2i-turbo"),
            created_at=datetime(2025, 4, 25, 8, 4, 53, 253_000, tzinfo=UTC),
            completed_at=datetime(2025, 4, 25, 8, 5, 2, 481_000, tzinfo=UTC),
        )
        assert (second.generation_id, second.state) == ("b", GenerationState.QUEUED)
        assert not second.hint

    @pytest.mark.parametrize(
        ("word", "state"),
        [
            ("FAILED", GenerationState.RUNNING),
            ("CANCELED", GenerationState.CANCELED),
            ("UNKNOWN", GenerationState.RUNNING),
        ],
    )
    def test_states(self, word: str, state: GenerationState) -> None:
        """A row has no reason for a failure, so it is asked for first."""
        (observation,) = exchanged("GET", LIST, {"data": [{**ROW, "status": word}]})

        assert (observation.state, observation.failure) == (state, None)

    def test_a_row_without_a_key(self) -> None:
        """The model has a column of its own."""
        row = {"task_id": "a", "status": "RUNNING", "model_name": "wanx-v1"}
        (observation,) = exchanged("GET", LIST, {"data": [row]})

        assert observation.params == GenerationParams(model="wanx-v1")

    @pytest.mark.parametrize("path", ["/api/v1/tasks", "/api/v1/tasks/", "tasks/?a=/tasks/b"])
    def test_paths(self, path: str) -> None:
        """With or without a slash at the end."""
        assert len(exchanged("GET", path, {"data": [ROW]})) == 1

    @pytest.mark.parametrize("answer", [{}, {"data": None}, {"code": "Throttling", "message": "a"}])
    def test_no_rows(self, answer: dict[str, Any]) -> None:
        """Then nothing is said."""
        assert exchanged("GET", LIST, answer) == ()
