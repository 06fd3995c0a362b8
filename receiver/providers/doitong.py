"""Doitong, by its documents `doitong-stable-diffusion` and `doitong-flux-pro` (one API).

The documents contradict themselves in places; the tolerant reading of each stands where it is
made. Nothing here trusts a size, a file name or a status beyond what it can only mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

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

_POLICY = re.compile(
    r"nsfw|safety|moderat|content[_ -]?policy|inappropriate|sensitive content|sexual|\bchild|csam"
    r"|ip ?infringement|copyright|data_?inspection_?failed|flagged|blocked by .*filter",
    re.IGNORECASE,
)

_OPERATOR = re.compile(
    r"insufficient credit|daily limit|quota|invalid api key|payment required", re.IGNORECASE
)

_MAX_TEXT = 500
# No pixel count or credit is larger; what claims to be is noise.
_MAX_INTEGER = 10**9


class Doitong:
    """See `base.Provider`."""

    name = "doitong"
    # No document says how long a link lives; a day is the bound its neighbours promise.
    link_lifetime = timedelta(hours=24)

    def parse(self, heard: Heard, path_token: str, body: bytes) -> tuple[Observation, ...]:
        """See `base.Provider.parse`."""
        document = _decode(body)
        if heard is Heard.REMEMBERED:
            return (_request(path_token, document),)
        return (_webhook(document),)


DOITONG = Doitong()


def _webhook(document: Mapping[str, Any]) -> Observation:
    """ "Webhook payload": the generation's id, status and url at the top level."""
    generation_id = document.get("id")
    if isinstance(generation_id, int) and not isinstance(generation_id, bool):
        generation_id = str(generation_id)
    if not isinstance(generation_id, str) or not generation_id.strip():
        raise UnreadableError("the webhook names no generation: `id` is missing or not text")
    url = _url(document.get("url"))
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
        cost=_number(document.get("creditCost")),
        created_at=_time(document.get("createdAt")),
        completed_at=_time(document.get("completedAt")),
        # metadata.width and .height come from a template for videos (1920x1080 for a picture of
        # 1024x1024), so they say nothing of the request; the bytes will tell their own size.
    )


def _request(generation_id: str, document: Mapping[str, Any]) -> Observation:
    """A submission: `generate` nests text and options, `generateImage` and REST are flat."""
    variables = _mapping(document.get("variables"))
    wrapped = (variables.get("input"), document, document.get("input"))
    given = next((form for form in map(_mapping, wrapped) if _prompt(form)), None)
    if given is None:
        raise UnreadableError("the request has no prompt: neither `prompt` nor `input.text`")
    flat = {**given, **_mapping(given.get("options"))}
    return Observation(
        provider=Doitong.name,
        generation_id=generation_id,
        state=GenerationState.QUEUED,
        service=_service(given),
        params=GenerationParams(
            prompt=_prompt(given),
            version=_text(flat.get("version")),
            width=_integer(flat.get("width")),
            height=_integer(flat.get("height")),
            quality=_text(flat.get("quality")),
        ),
    )


def _service(form: Mapping[str, Any]) -> str | None:
    """Either of the two names that the documents use for it."""
    service = _text(form.get("service")) or _text(form.get("provider"))
    return redact(service)[:_MAX_TEXT] if service else None


def _prompt(form: Mapping[str, Any]) -> str | None:
    return _text(form.get("prompt")) or _text(_mapping(form.get("input")).get("text"))


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
            extensions = _mapping(found.get("extensions"))
            code = code or str(extensions.get("code") or found.get("code") or "")
            message = message or _text(found.get("message")) or ""
    return Failure(
        failure_class=_class_of(code, message),
        code=redact(code)[:_MAX_TEXT],
        message=redact(message)[:_MAX_TEXT] or "failed",
    )


def _class_of(code: str, message: str) -> FailureClass:
    """An explicit code before the words; but if either matches a policy, policy wins."""
    if _POLICY.search(f"{code} {message}"):
        return FailureClass.POLICY
    known = _CLASS_OF_CODE.get(code.upper())
    by_words = FailureClass.OPERATOR if _OPERATOR.search(message) else FailureClass.RENDERABLE
    return known or by_words


def _errors(document: Mapping[str, Any]) -> Iterator[object]:
    errors = document.get("errors")
    yield from errors if isinstance(errors, list) else ()
    for name in ("error", "errorMessage", "message", "reason"):
        yield document.get(name)
    yield _mapping(document.get("metadata")).get("error")
    yield {"code": document.get("errorCode") or document.get("code")}


def _decode(body: bytes) -> Mapping[str, Any]:
    try:
        document = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableError("the body is JSON, but not an object")
    return document


def _mapping(value: object) -> Mapping[str, Any]:
    """An object, also one written as a JSON string (as `metadata` may be); else empty."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _url(value: object) -> str | None:
    """Only http and https are links; whether they may be followed is for the egress to say."""
    if not isinstance(value, str):
        return None
    url = value.strip()
    return url if url.lower().startswith(("https://", "http://")) else None


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:18])
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value < _MAX_INTEGER else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 else None


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
