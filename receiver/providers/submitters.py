"""The providers that holdfast can submit to, in a table that anyone can read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from archiver.models import Failure, GenerationParams
from receiver.exchange import Request
from receiver.providers import dashscope_submit, doitong_submit, modelslab_submit


class Silence(StrEnum):
    """What settles a submission that was sent and never answered."""

    REPEAT = "repeat"  # the same idempotency key cannot begin it twice
    LIST = "list"  # the account's tasks tell
    ASK = "ask"  # nothing does; a person must look


class Submission(Protocol):
    """Parameters as a request to one provider."""

    def __call__(
        self,
        params: GenerationParams,
        *,
        api_key: str,
        idempotency_key: str,
        webhook_url: str | None = None,
    ) -> Request:
        """The request; raises NotTakenError for a parameter that the provider cannot take."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitter:
    """How one provider is asked; `refusal` reads (HTTP status, body) of a no.

    `takes` are the parameters that a submission may name.
    """

    submission: Submission
    takes: Collection[str]
    refusal: Callable[[int, bytes], Failure]
    silence: Silence


SUBMITTERS: dict[str, Submitter] = {
    "doitong": Submitter(
        submission=doitong_submit.submission,
        takes=doitong_submit.TAKES,
        refusal=doitong_submit.refusal,
        silence=Silence.REPEAT,
    ),
    "dashscope": Submitter(
        submission=dashscope_submit.submission,
        takes=dashscope_submit.TAKES,
        refusal=dashscope_submit.refusal,
        silence=Silence.LIST,
    ),
    "modelslab": Submitter(
        submission=modelslab_submit.submission,
        takes=modelslab_submit.TAKES,
        refusal=modelslab_submit.refusal,
        silence=Silence.ASK,
    ),
}
