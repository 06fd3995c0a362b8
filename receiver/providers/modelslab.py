"""ModelsLab, formerly stablediffusionapi.com, by its documents `modelslab-overview` and
`modelslab-enterprise-text2img`, and the vendor's pages `webhooks` and `error-codes`.

All its APIs (v3, v4, v6, v7, enterprise) speak alike, so what counts is how a path ends. Requests
are read in `modelslab_requests`, the slots of an answer in `modelslab_outputs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

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
from archiver.redact import redact
from receiver import exchange
from receiver.providers.failures import MAX_TEXT
from receiver.providers.modelslab_failures import VALIDATION, failure_of, final
from receiver.providers.modelslab_outputs import FLAGGED, is_flagged, read_slots
from receiver.providers.modelslab_requests import (
    read_inputs,
    read_params,
    read_request,
    read_task,
)
from receiver.providers.values import as_id, as_mapping, as_text, read_document

# `success`, `processing`, `failed` and `error` are documented; clients have met the others.
_SUCCEEDED = {"success", "succeeded", "completed"}
_UNDERWAY = {"processing", "queued", "pending", "running"}
_FAILED = {"failed", "error"}

# What a submission's answer has beside its id, and neither a training nor an upload does.
_RESULTS = {"output", "future_links", "fetch_result", "eta"}
# Products whose results are neither pictures nor videos.
_OTHER_MEDIA = {"voice", "audio", "llm", "3d"}


class ModelsLab:
    """See `base.Provider`."""

    name = "modelslab"
    # `temp: yes` and enterprise servers promise 24 hours, and nobody promises more.
    link_lifetime = timedelta(hours=24)

    def parse(self, heard: Heard, path_token: str, body: bytes) -> tuple[Observation, ...]:
        """See `base.Provider.parse`."""
        if heard is Heard.REMEMBERED:
            return (_remembered(path_token, body),)
        if heard is Heard.PUSHED:
            return _webhook(read_document(body))
        return _exchange(exchange.decode(body))


MODELSLAB = ModelsLab()


def _webhook(document: Mapping[str, Any]) -> tuple[Observation, ...]:
    """`webhooks`, "Webhook payload".

    Nobody signs it, so it is a hint that something has happened, to be confirmed by a poll: its
    slots are counted without their links, for nothing that only a webhook named is ever
    downloaded, and neither its success nor its failure is more than a sign of life.
    """
    if "event" in document and "execution" in document:
        return ()  # "Workflow webhook payload": a workflow is no generation
    generation_id = as_id(document.get("id"))
    if generation_id is None and document.get("id") == "":
        return ()  # modelslab-overview: a failure may name nobody
    if generation_id is None:
        raise UnreadableError("the webhook names no generation: `id` is missing or not text")
    counted = {slot.index for slot in read_slots(document, final=False)}
    hint = Observation(
        provider=ModelsLab.name,
        generation_id=generation_id,
        state=GenerationState.RUNNING,
        slots=tuple(SlotObservation(index=index) for index in sorted(counted)),
        # The answer to a fetch has no `meta`, so this may be the only word on the seed.
        params=read_params({}, as_mapping(document.get("meta"))),
        track_id=as_id(document.get("track_id")),
    )
    return (hint,)


def _remembered(generation_id: str, body: bytes) -> Observation:
    request = read_request(body)
    params = read_params(request, {}, task=read_task(request))
    inputs = read_inputs(request)
    if params == GenerationParams() and not inputs:
        raise UnreadableError("the request has no prompt, nor anything else to draw from")
    return Observation(
        provider=ModelsLab.name,
        generation_id=generation_id,
        state=GenerationState.QUEUED,
        inputs=inputs,
        params=params,
        track_id=as_id(request.get("track_id")),
    )


def _exchange(heard: exchange.Exchange) -> tuple[Observation, ...]:
    path = heard.path.partition("?")[0]
    steps = [unquote(step) for step in path.split("/") if step]
    if not steps or not _OTHER_MEDIA.isdisjoint(steps):
        return ()
    try:
        request = read_request(heard.request)
    except UnreadableError:
        request = {}  # the answer may still say what was drawn
    if "fetch" in steps[-2:]:
        return _fetch(heard, steps, request)
    return _submission(heard, path, steps[-1], request)


def _submission(
    heard: exchange.Exchange, path: str, endpoint: str, request: Mapping[str, Any]
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
    heard: exchange.Exchange, steps: Sequence[str], request: Mapping[str, Any]
) -> tuple[Observation, ...]:
    """A status query: `fetch/{id}`, or `fetch` with the body's `request_id`."""
    named = steps[-1] if steps[-1] != "fetch" else request.get("request_id", request.get("id"))
    asked = as_id(named)
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
    said = _answered(generation_id, answer, heard.status)
    if _is_of_the_asking(heard.status, answer, said.failure):
        return ()
    params = read_params({}, as_mapping(answer.get("meta")))
    return (replace(said, failure=final(said.failure), params=params),)


def _answered(generation_id: str, answer: Mapping[str, Any], status: int) -> Observation:
    """What an answer says of a generation; the HTTP status counts little: 200 may be an error,
    and 400 a generation that is processing."""
    word = _word(answer)
    slots = read_slots(answer, final=word in _SUCCEEDED)
    flagged = is_flagged(answer)
    state = _state(word, slots, flagged=flagged)
    failure = failure_of(answer, status) if word in _FAILED else None
    return Observation(
        provider=ModelsLab.name,
        generation_id=generation_id,
        state=state,
        slots=slots,
        failure=FLAGGED if flagged else failure,
        track_id=as_id(answer.get("track_id")),
    )


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
    if word in _SUCCEEDED or word in _UNDERWAY:
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
