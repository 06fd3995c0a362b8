"""What a request to ModelsLab and its answer say together.

By `modelslab-overview`, `modelslab-enterprise-text2img` and the vendor's page `error-codes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from archiver.errors import UnreadableError
from archiver.models import (
    Failure,
    FailureClass,
    GenerationState,
    Observation,
    SlotObservation,
)
from archiver.redact import redact
from receiver.exchange import Exchange
from receiver.providers import modelslab_api as api
from receiver.providers.failures import MAX_TEXT
from receiver.providers.modelslab_failures import VALIDATION, failure_of, final, says_unknown
from receiver.providers.modelslab_outputs import FLAGGED, is_flagged, read_slots
from receiver.providers.modelslab_requests import (
    read_inputs,
    read_params,
    read_request,
    read_task,
)
from receiver.providers.values import as_id, as_mapping, as_text, read_document

NAME = "modelslab"

# `success`, `processing`, `failed` and `error` are documented; clients have met the others.
_SUCCEEDED = {"success", "succeeded", "completed"}
_UNDERWAY = {"processing", "queued", "pending", "running"}
_FAILED = {"failed", "error"}
_GOING = _SUCCEEDED | _UNDERWAY
_KNOWN = _GOING | _FAILED

# What a submission's answer has beside its id, and neither a training nor an upload does.
_RESULTS = {"output", "future_links", "fetch_result", "eta"}


def read_exchange(heard: Exchange) -> tuple[Observation, ...]:
    """What was said; raises UnreadableError."""
    path = heard.path.partition("?")[0]
    steps = api.steps_of(path)
    if not steps or api.is_other_media(steps):
        return ()
    try:
        request = read_request(heard.request)
    except UnreadableError:
        request = {}  # the answer may still say what was drawn
    if api.is_fetch(steps):
        return _fetch(heard, steps, request)
    return _submission(heard, path, steps[-1], request)


def _submission(
    heard: Exchange, path: str, endpoint: str, request: Mapping[str, Any]
) -> tuple[Observation, ...]:
    """A request for pictures; without an id in its answer there is no generation to speak of."""
    try:
        answer = read_document(heard.answer)
    except UnreadableError:
        return ()
    generation_id = as_id(answer.get("id"))
    if generation_id is None or _RESULTS.isdisjoint(answer):
        return ()
    said = _answered(generation_id, answer, heard.status)
    params = read_params(request, as_mapping(answer.get("meta")), task=read_task(request, endpoint))
    submitted = replace(
        said,
        failure=final(said.failure),
        service=_service(path),
        inputs=read_inputs(request),
        params=params,
        track_id=said.track_id or as_id(request.get("track_id")),
    )
    return (submitted,)


def _fetch(
    heard: Exchange, steps: Sequence[str], request: Mapping[str, Any]
) -> tuple[Observation, ...]:
    asked = api.fetched_id(steps, request)
    try:
        answer = read_document(heard.answer)
    except UnreadableError:
        passing = _is_passing(heard.status) or heard.answer.lstrip().startswith(b"<")
        if asked is None or passing:
            return ()
        raise
    generation_id = asked or as_id(answer.get("id"))
    if generation_id is None:
        return ()
    if asked is not None and _is_unknown(heard.status, answer):
        return (_unknown(asked),)
    said = _answered(generation_id, answer, heard.status)
    if _is_of_the_asking(heard.status, answer, said.failure):
        return ()
    params = read_params({}, as_mapping(answer.get("meta")))
    return (replace(said, failure=final(said.failure), params=params),)


def _is_unknown(status: int, answer: Mapping[str, Any]) -> bool:
    word = _word(answer)
    if word in _GOING or _is_passing(status):
        return False
    return says_unknown(answer, is_missing=status == 404 and word != "failed")


def _unknown(generation_id: str) -> Observation:
    return Observation(
        provider=NAME,
        generation_id=generation_id,
        state=GenerationState.RUNNING,
        unknown=True,
    )


def _answered(generation_id: str, answer: Mapping[str, Any], status: int) -> Observation:
    """What an answer says of a generation; the HTTP status counts little: 200 may be an error,
    and 400 a generation that is processing."""
    word = _word(answer)
    slots = read_slots(answer, final=word in _SUCCEEDED)
    flagged = is_flagged(answer)
    state = _state(word, slots, flagged=flagged)
    failure = failure_of(answer, status) if word in _FAILED else None
    return Observation(
        provider=NAME,
        generation_id=generation_id,
        state=state,
        odd_status=odd_status(answer),
        slots=slots,
        failure=FLAGGED if flagged else failure,
        track_id=as_id(answer.get("track_id")),
    )


def odd_status(document: Mapping[str, Any]) -> str | None:
    """The word for the state, if it is none that is known."""
    word = _word(document)
    return word if word and word not in _KNOWN else None


def _word(answer: Mapping[str, Any]) -> str:
    return (as_text(answer.get("status")) or "").lower()


def _state(word: str, slots: Sequence[SlotObservation], *, flagged: bool) -> GenerationState:
    """A success without a picture promises nothing to fetch, unless the filter took it."""
    if word in _FAILED:
        return GenerationState.FAILED
    if word not in _SUCCEEDED:
        return GenerationState.RUNNING
    delivered = {slot.index for slot in slots if slot.url is not None}
    if not delivered:
        return GenerationState.FAILED if flagged else GenerationState.RUNNING
    whole = all(slot.index in delivered for slot in slots)
    return GenerationState.SUCCEEDED if whole else GenerationState.PARTIAL


def _is_passing(status: int) -> bool:
    return status == 429 or status >= 500


def _is_of_the_asking(status: int, answer: Mapping[str, Any], failure: Failure | None) -> bool:
    """Whether the answer to a fetch speaks of the fetch and not of the generation.

    `error` is said of both; what concerns the rate, the key, the credit or the fetch's own fields
    is no news of the generation, whose own end is `failed`.
    """
    word = _word(answer)
    if word in _GOING:
        return False
    if _is_passing(status) or (status > 400 and word != "failed"):
        return True
    if word != "error" or failure is None:
        return False
    passing = failure.failure_class in (FailureClass.TRANSIENT, FailureClass.OPERATOR)
    return passing or failure.code == VALIDATION


def _service(path: str) -> str | None:
    """The endpoint that was asked, from its version on, as in `v1/enterprise/text2img`."""
    _, api, endpoint = path.rpartition("/api/")
    return redact(endpoint.strip("/"))[:MAX_TEXT] or None if api else None
