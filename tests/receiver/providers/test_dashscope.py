"""DashScope's document, sample by sample."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from archiver.errors import UnreadableError
from archiver.models import (
    Failure,
    FailureClass,
    GenerationParams,
    GenerationState,
    Heard,
    Observation,
    SlotObservation,
)
from receiver.providers.dashscope import DASHSCOPE
from tests.receiver.providers.dashscope_bodies import (
    SUBMIT,
    TASK,
    TASK_ID,
    exchanged,
)
from tests.receiver.providers.samples import cases, sample

ASKED = GenerationParams(
    prompt="a running cat",
    negative_prompt="yellow cat",
    model="stable-diffusion-xl",
    width=512,
    height=512,
    samples=4,
    seed=42,
)
SUBMITTED_ID = "13b1848b-5493-4c0e-8c44-68d038b492af"
PUBLIC = "https://dashscope-result-bj.oss-cn-beijing.aliyuncs.com/123"
TIMED_OUT = (
    "An internal timeout error has occured during execution, "
    "please try again later or contact service support."
)
WRONG_SIZE = "The size is not match the allowed size ['1024*1024', '720*1280', '1280*720']"


def said(state: GenerationState, *slots: SlotObservation, **more: Any) -> Observation:
    return Observation(
        **{"provider": "dashscope", "generation_id": TASK_ID, "state": state, **more},
        slots=slots,
    )


def empty(count: int) -> list[SlotObservation]:
    return [SlotObservation(index=index) for index in range(count)]


# What the answer to `GET tasks/{id}` says in each of the document's samples.
TASKS: dict[str, Observation] = {
    # Its url is "url1", which is no link: the success promises nothing to fetch yet.
    "python-result": said(
        GenerationState.RUNNING, *empty(1), generation_id="dea97660-9651-4e6b-a9c3-8afb325b28d0"
    ),
    "task-running": said(GenerationState.RUNNING, *empty(4)),
    "task-succeeded": said(
        GenerationState.SUCCEEDED,
        SlotObservation(index=0, url=f"{PUBLIC}/a1.png"),
        SlotObservation(index=1, url=f"{PUBLIC}/b2.png"),
    ),
    "task-partial-mended": said(
        GenerationState.PARTIAL,
        SlotObservation(index=0, url=f"{PUBLIC}/a1.png"),
        SlotObservation(
            index=1,
            failure=Failure(
                failure_class=FailureClass.RENDERABLE,
                code="InternalError.Timeout",
                message=TIMED_OUT,
            ),
        ),
    ),
    "task-failed": said(
        GenerationState.FAILED,
        *empty(4),
        failure=Failure(
            failure_class=FailureClass.DEAD, code="InvalidParameter", message=WRONG_SIZE
        ),
    ),
}


class TestDocumented:
    """The document's own examples."""

    @pytest.mark.parametrize("case", TASKS)
    @pytest.mark.parametrize("heard", [Heard.POLLED, Heard.OVERHEARD])
    def test_task(self, case: str, heard: Heard) -> None:
        """Whoever asked, all that the answer says is taken."""
        body = sample(f"dashscope/{case}").body

        assert exchanged("GET", TASK, body, heard=heard) == (TASKS[case],)

    @pytest.mark.parametrize(
        ("case", "method", "path"),
        [("submit-answer", "POST", SUBMIT), ("task-partial", "GET", TASK)],
    )
    def test_what_is_not_json(self, case: str, method: str, path: str) -> None:
        """A comma or a quote is missing in two of them: kept, and said to be unreadable."""
        with pytest.raises(UnreadableError, match="the body is not JSON"):
            exchanged(method, path, sample(f"dashscope/{case}").body)

    def test_submission(self) -> None:
        """The id and state are the answer's, all else the request's; the path names the task."""
        request = sample("dashscope/submit-request").body
        answer = sample("dashscope/submit-answer-mended").body

        assert exchanged("POST", SUBMIT, answer, request=request) == (
            said(
                GenerationState.QUEUED,
                generation_id=SUBMITTED_ID,
                params=GenerationParams(
                    task="text-to-image",
                    prompt="a running cat",
                    negative_prompt="yellow cat",
                    model="stable-diffusion-xl",
                    width=512,
                    height=512,
                    samples=4,
                    seed=42,
                ),
            ),
        )

    @pytest.mark.parametrize("status", [200, 401])
    def test_rejected_submission(self, status: int) -> None:
        """No id was given, so there is no generation to tell of."""
        request = sample("dashscope/submit-request").body
        answer = sample("dashscope/submit-rejected").body

        assert exchanged("POST", SUBMIT, answer, request=request, status=status) == ()

    def test_remembered_request(self) -> None:
        """The same request, told by whoever submitted it elsewhere."""
        body = sample("dashscope/submit-request").body

        assert DASHSCOPE.parse(Heard.REMEMBERED, TASK_ID, body) == (
            said(GenerationState.QUEUED, params=ASKED),
        )

    def test_no_sample_lies_unread(self) -> None:
        """Each file of the samples is the subject of a test above."""
        read = {*TASKS, "submit-request", "submit-answer", "submit-answer-mended"}
        read |= {"submit-rejected", "task-partial"}

        assert cases("dashscope") == sorted(f"dashscope/{case}" for case in read)

    def test_a_link_lives_for_a_day(self) -> None:
        """As the document says; where a URL shows its own expiry, that one counts."""
        assert timedelta(hours=24) == DASHSCOPE.link_lifetime
