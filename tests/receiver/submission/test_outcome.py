"""What an answer and a generation mean for a row."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from archiver.models import Generation, GenerationState, Slot, SlotState
from receiver.providers.submitters import SUBMITTERS
from receiver.submission.board import State, shown
from receiver.submission.entries import Event, Standing
from receiver.submission.outcome import Verdict, judge

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("provider", "status", "answer", "verdict"),
    [
        ("doitong", 402, b'{"errors":[{"extensions":{"code":"X"}}]}', Verdict.PAUSE),
        ("doitong", 429, b"", Verdict.LATER),
        ("doitong", 400, b"", Verdict.DEAD),
        ("doitong", 404, b"<html>", Verdict.PAUSE),
        ("doitong", 200, b'{"data":{"generate":null}}', Verdict.IN_DOUBT),
        ("doitong", 500, b"", Verdict.IN_DOUBT),
        ("doitong", 200, b'{"errors":[{"message":"flagged as NSFW"}]}', Verdict.HELD),
        ("dashscope", 429, b'{"code":"Throttling.RateQuota","message":"m"}', Verdict.LATER),
        (
            "dashscope",
            429,
            b'{"code":"Throttling.AllocationQuota","message":"Free allocated quota exceeded."}',
            Verdict.PAUSE,
        ),
        ("dashscope", 400, b'{"code":"InvalidParameter","message":"size"}', Verdict.DEAD),
        ("dashscope", 408, b'{"code":"RequestTimeOut","message":"m"}', Verdict.IN_DOUBT),
        ("modelslab", 200, b'{"status":"error","message":"Rate limit exceeded"}', Verdict.LATER),
        ("modelslab", 200, b'{"status":"error","message":"Invalid Api Key"}', Verdict.PAUSE),
        ("modelslab", 200, b'{"status":"error","message":"Model not found"}', Verdict.DEAD),
        ("modelslab", 200, b"<html>maintenance</html>", Verdict.IN_DOUBT),
        ("modelslab", 500, b'{"status":"error","message":"server error"}', Verdict.IN_DOUBT),
    ],
)
def test_verdicts(provider: str, status: int, answer: bytes, verdict: Verdict) -> None:
    """Only who surely began nothing is asked again; only what mending helps stops the rest."""
    assert judge(SUBMITTERS[provider], status, answer, None).verdict is verdict


@pytest.mark.parametrize(
    ("state", "slots", "expected"),
    [
        (GenerationState.QUEUED, ["expected"], State.SUBMITTED),
        (GenerationState.RUNNING, ["expected"], State.RUNNING),
        (GenerationState.SUCCEEDED, ["archived", "linked"], State.RUNNING),
        (GenerationState.SUCCEEDED, ["archived", "rendered"], State.ARCHIVED),
        (GenerationState.PARTIAL, ["archived", "dead"], State.DEAD),
        (GenerationState.PARTIAL, ["held", "dead"], State.HELD),
    ],
)
def test_a_row_is_its_slots(state: GenerationState, slots: list[str], expected: State) -> None:
    """A row is archived with every picture and not before; what is held may yet come."""
    generation = Generation(
        provider="doitong",
        id="g1",
        state=state,
        first_heard_at=NOW,
        slots=tuple(
            Slot(index=index, number=index + 1, state=SlotState(word))
            for index, word in enumerate(slots)
        ),
    )
    standing = Standing(event=Event.SUBMITTED, generation_id="g1")

    assert shown(standing).state is State.SUBMITTED
    assert shown(standing, generation).state is expected
    under_way = state in (GenerationState.QUEUED, GenerationState.RUNNING)
    assert shown(standing, generation).drawn is not under_way
