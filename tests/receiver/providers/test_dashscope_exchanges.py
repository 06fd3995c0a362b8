"""DashScope's endpoints beyond the document's samples, and what goes wrong on the way."""

from __future__ import annotations

from typing import Any

import pytest

from archiver.errors import UnreadableError
from archiver.models import GenerationParams, GenerationState, Observation
from tests.receiver.providers.dashscope_bodies import (
    CANCEL,
    LIST,
    SUBMIT,
    TASK,
    TASK_ID,
    URL,
    exchanged,
    polled,
    slots,
    submitted,
)


class TestCancel:
    """Only a task that is PENDING can be canceled."""

    def test_canceled(self) -> None:
        """The answer names no task; the path does."""
        assert exchanged("POST", CANCEL, {"request_id": "r"}) == (
            Observation(
                provider="dashscope", generation_id=TASK_ID, state=GenerationState.CANCELED
            ),
        )

    @pytest.mark.parametrize("status", [200, 400])
    def test_too_late(self, status: int) -> None:
        """It goes on as before."""
        answer = {"code": "UnsupportedOperation", "message": "Failed to cancel the task."}

        assert exchanged("POST", CANCEL, answer, status=status) == ()


class TestSubmission:
    """Of the answer to a submission, beyond the document's samples."""

    def test_pictures_at_once(self) -> None:
        """A synchronous call makes no task; its own id names what would else be lost."""
        content = [{"image": URL}]
        answer = {
            "output": {"choices": [{"finish_reason": "stop", "message": {"content": content}}]},
            "request_id": "d0250a3d",
        }
        request = {"model": "qwen-image-max", "input": {"prompt": "a cat"}}
        path = "/api/v1/services/aigc/multimodal-generation/generation"

        assert exchanged("POST", path, answer, request=request) == (
            Observation(
                provider="dashscope",
                generation_id="d0250a3d",
                state=GenerationState.SUCCEEDED,
                slots=slots(URL),
                params=GenerationParams(
                    task="multimodal-generation", model="qwen-image-max", prompt="a cat"
                ),
            ),
        )

    @pytest.mark.parametrize(
        "answer",
        [
            {},
            {"request_id": "r"},
            {"output": {"choices": [{"message": {"content": "hello"}}]}, "request_id": "r"},
            {"output": {"results": [{"url": URL}]}},
            {"code": "DataInspectionFailed", "message": "Input", "request_id": "r"},
        ],
    )
    def test_no_generation(self, answer: dict[str, Any]) -> None:
        """Words, refusals, and what has no name at all."""
        assert exchanged("POST", SUBMIT, answer) == ()

    def test_text_is_no_concern(self) -> None:
        """Whatever it is answered with, also a stream of events."""
        path = "/api/v1/services/aigc/text-generation/generation"

        assert exchanged("POST", path, b"id:1\nevent:result\ndata:{}\n\n") == ()

    def test_an_id_is_opaque(self) -> None:
        """A number is its text; nothing is trimmed."""
        answer = {"output": {"task_id": 17, "task_status": "PENDING"}}
        (observation,) = exchanged("POST", SUBMIT, answer)

        assert observation.generation_id == "17"

    def test_no_slots_yet(self) -> None:
        """How many there will be, the request's `n` says."""
        observation = submitted({"input": {"prompt": "a"}, "parameters": {"n": 3}})

        assert (observation.slots, observation.params.samples) == ((), 3)


class TestPaths:
    """An endpoint is known by the end of its path, whatever host and prefix stand before it."""

    @pytest.mark.parametrize(
        "path",
        [
            *(TASK, f"{TASK}/", f"{TASK}?a=b", f"/gateway/dashscope{TASK}", f"tasks/{TASK_ID}"),
            f"https://w.cn-beijing.maas.aliyuncs.com{TASK}",
            "/api/v1/tasks/86ecf553%2Dd340%2D4e21%2Daf6e%2Da0c6a421c010",
        ],
    )
    def test_task(self, path: str) -> None:
        """The id is the path's where the answer does not repeat it."""
        assert polled({"output": {"task_status": "PENDING"}}, path).generation_id == TASK_ID

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            *(("GET", "/api/v1/quotas"), ("GET", "/api/v1/models"), ("GET", "/"), ("GET", "")),
            *(("POST", TASK), ("DELETE", TASK), ("GET", CANCEL), ("GET", SUBMIT)),
            *(("GET", f"/api/v1/subtasks/{TASK_ID}"), ("GET", f"{TASK}/results/a")),
            *(("POST", "/api/v1/services/audio/asr/transcription"), ("POST", "/api/v1/uploads")),
            ("POST", "/compatible-mode/v1/chat/completions"),
        ],
    )
    @pytest.mark.parametrize("answer", [b"{", b'{"output": {"task_id": "a"}}'])
    def test_no_concern(self, method: str, path: str, answer: bytes) -> None:
        """Whatever is answered there, it is not read."""
        assert exchanged(method, path, answer) == ()


TROUBLE = [
    *((429, b'{"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded"}'),),
    *((500, b'{"code": "InternalError"}'), (502, b""), (503, b"busy"), (504, b"{"), (408, b"")),
    *((502, b"<html>502 Bad Gateway</html>"), (200, b" \n<!DOCTYPE html>"), (404, b"<html>")),
]


class TestTrouble:
    """What goes wrong on the way says nothing of the task."""

    @pytest.mark.parametrize(("status", "answer"), TROUBLE)
    @pytest.mark.parametrize(
        ("method", "path"), [("GET", TASK), ("GET", LIST), ("POST", CANCEL), ("POST", SUBMIT)]
    )
    def test_passing(self, method: str, path: str, status: int, answer: bytes) -> None:
        """It will be asked again."""
        assert exchanged(method, path, answer, status=status) == ()

    @pytest.mark.parametrize("status", [200, 400, 401, 403, 404])
    def test_a_question_refused(self, status: int) -> None:
        """A wrong key is ours to mend and no failure of the task's."""
        answer = {"code": "InvalidApiKey", "message": "Invalid API-key provided."}

        assert exchanged("GET", TASK, answer, status=status) == ()

    def test_nothing_is_believed_of_an_error(self) -> None:
        """Whatever else stands in the answer."""
        answer = {"output": {"task_id": TASK_ID, "task_status": "FAILED"}}

        assert exchanged("GET", TASK, answer, status=404) == ()

    @pytest.mark.parametrize(
        ("method", "path", "status", "answer"),
        [
            *(("GET", TASK, 200, b"{}"), ("GET", TASK, 200, b'{"output": null}')),
            *(("GET", TASK, 200, b""), ("GET", TASK, 200, b"[]"), ("GET", TASK, 404, b"gone")),
            *(("POST", CANCEL, 200, b"ok"), ("POST", SUBMIT, 200, b"ok"), ("GET", LIST, 200, b"")),
        ],
    )
    def test_unreadable(self, method: str, path: str, status: int, answer: bytes) -> None:
        """An answer that is neither is kept, for it may be the fault of our reading."""
        with pytest.raises(UnreadableError, match=r"the (body is|answer tells of no task)"):
            exchanged(method, path, answer, status=status)
