"""Doitong, by its documents `doitong-stable-diffusion` and `doitong-flux-pro` (one API).

The documents contradict themselves in places; the tolerant reading of each stands where it is
made. Nothing here trusts a size, a file name or a status beyond what it can only mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

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
from receiver.providers.failures import MAX_TEXT, read_failure
from receiver.providers.values import (
    as_id,
    as_integer,
    as_mapping,
    as_moment,
    as_number,
    as_text,
    as_url,
    read_document,
)

# Only `processing` and `completed` are documented; its polling loop takes anything that is not
# `processing` for final. So the words of its neighbours are understood too.
_RUNNING = {"processing", "pending", "queued", "in_progress", "starting", "running", "created"}
_SUCCEEDED = {"completed", "complete", "succeeded", "success", "done", "ready", "finished"}
_FAILED = {"failed", "failure", "error", "errored", "rejected", "expired", "timeout"}
_CANCELED = {"canceled", "cancelled"}

# "Common error codes" and "Error response format"; the GraphQL ones are the field's.
_CLASS_OF_CODE = {
    "INSUFFICIENT_CREDITS": FailureClass.OPERATOR,
    "UNAUTHENTICATED": FailureClass.OPERATOR,
    "UNAUTHORIZED": FailureClass.OPERATOR,
    "FORBIDDEN": FailureClass.OPERATOR,
    "401": FailureClass.OPERATOR,
    "402": FailureClass.OPERATOR,
    "400": FailureClass.DEAD,
    "BAD_USER_INPUT": FailureClass.DEAD,
    "GRAPHQL_VALIDATION_FAILED": FailureClass.DEAD,
    "CONTENT_POLICY": FailureClass.POLICY,
}


class Doitong:
    """See `base.Provider`."""

    name = "doitong"
    # No document says how long a link lives; a day is the bound its neighbours promise.
    link_lifetime = timedelta(hours=24)

    def parse(self, heard: Heard, path_token: str, body: bytes) -> tuple[Observation, ...]:
        """See `base.Provider.parse`."""
        document = read_document(body)
        if heard is Heard.REMEMBERED:
            return (_request(path_token, document),)
        return (_webhook(document),)


DOITONG = Doitong()


def _webhook(document: Mapping[str, Any]) -> Observation:
    """ "Webhook payload": the generation's id, status and url at the top level."""
    generation_id = as_id(document.get("id"))
    if generation_id is None:
        raise UnreadableError("the webhook names no generation: `id` is missing or not text")
    url = as_url(document.get("url"))
    errors = bool(document.get("errors") or document.get("error"))
    state = _state(document.get("status"), url, errors=errors)
    failure = _failure(document) if state is GenerationState.FAILED else None
    return Observation(
        provider=Doitong.name,
        generation_id=generation_id,
        state=state,
        failure=failure,
        service=_service(document),
        slots=(SlotObservation(index=0, url=url),),
        cost=as_number(document.get("creditCost")),
        created_at=as_moment(document.get("createdAt")),
        completed_at=as_moment(document.get("completedAt")),
        # metadata.width and .height come from a template for videos (1920x1080 for a picture of
        # 1024x1024), so they say nothing of the request; the bytes will tell their own size.
    )


def _request(generation_id: str, document: Mapping[str, Any]) -> Observation:
    """A submission: `generate` nests text and options, `generateImage` and REST are flat."""
    variables = as_mapping(document.get("variables"))
    wrapped = (variables.get("input"), document, document.get("input"))
    given = next((form for form in map(as_mapping, wrapped) if _prompt(form)), None)
    if given is None:
        raise UnreadableError("the request has no prompt: neither `prompt` nor `input.text`")
    flat = {**given, **as_mapping(given.get("options"))}
    return Observation(
        provider=Doitong.name,
        generation_id=generation_id,
        state=GenerationState.QUEUED,
        service=_service(given),
        params=GenerationParams(
            prompt=_prompt(given),
            version=as_text(flat.get("version")),
            width=as_integer(flat.get("width")),
            height=as_integer(flat.get("height")),
            quality=as_text(flat.get("quality")),
        ),
    )


def _service(form: Mapping[str, Any]) -> str | None:
    """Either of the two names that the documents use for it."""
    service = as_text(form.get("service")) or as_text(form.get("provider"))
    return redact(service)[:MAX_TEXT] if service else None


def _prompt(form: Mapping[str, Any]) -> str | None:
    return as_text(form.get("prompt")) or as_text(as_mapping(form.get("input")).get("text"))


def _state(status: object, url: str | None, *, errors: bool) -> GenerationState:
    """A completed generation without a link is still running: it promises nothing to fetch."""
    word = status.strip().lower() if isinstance(status, str) else ""
    if word in _FAILED:
        return GenerationState.FAILED
    if word in _CANCELED:
        return GenerationState.CANCELED
    # The `generateImage` form shows no status at all: a url means success.
    if url is not None and (word in _SUCCEEDED or not word):
        return GenerationState.SUCCEEDED
    if errors and not word:
        return GenerationState.FAILED
    return GenerationState.RUNNING


def _failure(document: Mapping[str, Any]) -> Failure:
    """No document shows a failed webhook; the error is looked for wherever it could stand."""
    code, message = "", ""
    for found in _errors(document):
        if isinstance(found, str):
            message = message or found
        elif isinstance(found, Mapping):
            extensions = as_mapping(found.get("extensions"))
            code = code or str(extensions.get("code") or found.get("code") or "")
            message = message or as_text(found.get("message")) or ""
    return read_failure(code, message, _CLASS_OF_CODE.get(code.upper()))


def _errors(document: Mapping[str, Any]) -> Iterator[object]:
    errors = document.get("errors")
    yield from errors if isinstance(errors, list) else ()
    for name in ("error", "errorMessage", "message", "reason"):
        yield document.get(name)
    yield as_mapping(document.get("metadata")).get("error")
    yield {"code": document.get("errorCode") or document.get("code")}
