"""What Doitong says of a generation: one object, in its webhooks and in its answers alike.

By "Response format", "Webhook payload" and "Error handling" of `doitong-stable-diffusion`. What
they leave open is read as it can only be meant, and said where it is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from archiver.models import (
    Failure,
    FailureClass,
    GenerationState,
    Observation,
    SlotObservation,
)
from archiver.redact import redact
from receiver.providers.failures import MAX_TEXT, read_failure
from receiver.providers.values import as_mapping, as_moment, as_number, as_text, as_url

NAME = "doitong"

# Only `processing` and `completed` are documented; its polling loop takes anything that is not
# `processing` for final. So the words of its neighbours are understood too; any other word reads
# as running.
_RUNNING = {"processing", "pending", "queued", "in_progress", "starting", "running", "created"}
_SUCCEEDED = {"completed", "complete", "succeeded", "success", "done", "ready", "finished"}
_FAILED = {"failed", "failure", "error", "errored", "rejected", "expired", "timeout"}
_CANCELED = {"canceled", "cancelled"}
_KNOWN = _RUNNING | _SUCCEEDED | _FAILED | _CANCELED

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


def read_generation(generation_id: str, said: Mapping[str, Any]) -> Observation:
    """What an object says of the generation that it is about."""
    url = as_url(said.get("url"))
    errors = bool(said.get("errors") or said.get("error"))
    word = (as_text(said.get("status")) or "").lower()
    state = _state(word, url, errors=errors)
    return Observation(
        provider=NAME,
        generation_id=generation_id,
        state=state,
        odd_status=word if word and word not in _KNOWN else None,
        failure=_failure(said) if state is GenerationState.FAILED else None,
        service=read_service(said),
        slots=(SlotObservation(index=0, url=url),),
        # Null where the query did not ask for it.
        cost=as_number(said.get("creditCost")),
        created_at=as_moment(said.get("createdAt")),
        completed_at=as_moment(said.get("completedAt")),
        # metadata.width and .height come from a template for videos (1920x1080 for a picture of
        # 1024x1024), so they say nothing of the request; the bytes will tell their own size.
    )


def read_service(form: Mapping[str, Any]) -> str | None:
    """Either of the two names that the documents use for it."""
    service = as_text(form.get("service")) or as_text(form.get("provider"))
    return redact(service)[:MAX_TEXT] if service else None


def _state(word: str, url: str | None, *, errors: bool) -> GenerationState:
    """A completed generation without a link is still running: it promises nothing to fetch."""
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


def _failure(said: Mapping[str, Any]) -> Failure:
    """No document shows a failed generation; the error is looked for wherever it could stand."""
    code, message = "", ""
    for found in _errors(said):
        if isinstance(found, str):
            message = message or found
        elif isinstance(found, Mapping):
            extensions = as_mapping(found.get("extensions"))
            code = code or str(extensions.get("code") or found.get("code") or "")
            message = message or as_text(found.get("message")) or ""
    return read_failure(code, message, _CLASS_OF_CODE.get(code.upper()))


def _errors(said: Mapping[str, Any]) -> Iterator[object]:
    errors = said.get("errors")
    yield from errors if isinstance(errors, list) else ()
    for name in ("error", "errorMessage", "message", "reason"):
        yield said.get(name)
    yield as_mapping(said.get("metadata")).get("error")
    yield {"code": said.get("errorCode") or said.get("code")}
