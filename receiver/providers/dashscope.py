"""DashScope (Alibaba Model Studio), by its document `dashscope-stable-diffusion`.

Beside it stand the vendor's pages on asynchronous tasks, on their events and on error codes. What
a task's document says is read by `dashscope_task`, what a request asked for by `dashscope_request`;
where requests go and what they carry is said in `dashscope_api`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archiver.errors import UnreadableError
from archiver.joins import join_params
from archiver.models import GenerationParams, GenerationState, Heard, Observation
from receiver import exchange
from receiver.exchange import Exchange
from receiver.providers import dashscope_api as api
from receiver.providers import dashscope_request as requests
from receiver.providers import dashscope_task as tasks
from receiver.providers.values import as_id, as_list, as_mapping, as_text, read_document

_FINISHED = "dashscope:System:AsyncTaskFinish"


class DashScope:
    """See `base.Provider`."""

    name = tasks.NAME
    # Where the URL's own `Expires` does not say; some models' links live for a week.
    link_lifetime = tasks.LIFETIME

    concern = staticmethod(api.concern)
    api_key = staticmethod(api.api_key)
    with_webhook = staticmethod(api.with_webhook)
    ask = staticmethod(api.ask)
    is_senseless = staticmethod(api.is_senseless)

    def parse(self, heard: Heard, path_token: str, body: bytes) -> tuple[Observation, ...]:
        """See `base.Provider.parse`."""
        if heard is Heard.PUSHED:
            return _event(read_document(body))
        if heard is Heard.REMEMBERED:
            return (_remembered(path_token, read_document(body)),)
        return _exchange(exchange.decode(body))


DASHSCOPE = DashScope()


def _event(event: Mapping[str, Any]) -> tuple[Observation, ...]:
    """A CloudEvent of the account's bus, where others pass, too. Its `time` is not always one."""
    if event.get("type") != _FINISHED:
        return ()
    data = as_mapping(event.get("data"))
    if as_id(data.get("task_id")) is None:
        raise UnreadableError("the event names no task: `data.task_id` is missing or not text")
    result = tasks.flat(as_mapping(data.get("output_result")))
    return _announced({"time": event.get("time"), **data, **result})


def _announced(said: Mapping[str, Any]) -> tuple[Observation, ...]:
    """An event or a row of a list, which tell that a task ended, but seldom what came of it."""
    generation_id = as_id(said.get("task_id"))
    # "apikey:version:group:task:function-call:model"; embeddings and speech are other groups.
    key = (as_text(said.get("user_api_unique_key")) or "").split(":", 5)
    group, task, model = (key[2], key[3], key[5]) if len(key) == 6 else ("aigc", None, None)
    if generation_id is None or group != "aigc":
        return ()
    seen = tasks.read_task(generation_id, said)
    reasons = any(tasks.reason(said)) or any(slot.failure for slot in seen.slots)
    if seen.state is GenerationState.FAILED and not reasons:
        # It could have been moderation, and then nothing may be drawn: a poll must ask first.
        seen = replace(seen, state=GenerationState.RUNNING, failure=None, hint=True)
    elif seen.state is GenerationState.RUNNING and seen.completed_at is not None:
        seen = replace(seen, hint=True)  # its pictures are there, and were not named
    params = GenerationParams(
        model=as_text(said.get("model_name")) or as_text(model),
        task=requests.task_name(task),
    )
    return (replace(seen, params=join_params(seen.params, params)),)


def _remembered(generation_id: str, request: Mapping[str, Any]) -> Observation:
    if not as_mapping(request.get("input")) and as_text(request.get("prompt")) is None:
        raise UnreadableError("the request asks for nothing: neither `input` nor `prompt`")
    given = requests.flat(request)
    return Observation(
        provider=tasks.NAME,
        generation_id=generation_id,
        state=GenerationState.QUEUED,
        params=requests.read_params(given),
        inputs=requests.read_inputs(given),
    )


def _exchange(said: Exchange) -> tuple[Observation, ...]:
    task = api.submitted_task(said.method, said.path)
    if task is not None:
        return _submission(said, task)
    question = api.question(said.method, said.path)
    if question is None:
        return ()
    if question.task_id is None:
        return _list(said)
    return (
        _cancellation(said, question.task_id) if question.cancels else _task(said, question.task_id)
    )


def _submission(said: Exchange, task: str) -> tuple[Observation, ...]:
    """`{output: {task_id, task_status}}`, or `{code, message}` without an id to keep it under."""
    answer = _answer(said) if _is_success(said) else None
    if answer is None:
        return ()
    found = tasks.flat(answer)
    task_id = as_id(found.get("task_id"))
    # A synchronous call of qwen-image or wan2.6 has its pictures at once and no task: the request's
    # own id is then the only name there is.
    seen = tasks.read_task(task_id or as_id(found.get("request_id")) or "", found)
    if not seen.generation_id or not (task_id or any(slot.url for slot in seen.slots)):
        return ()
    given = _given(said)
    params = requests.read_params(given, requests.task_name(task))
    params = join_params(params, seen.params)
    return (replace(seen, params=params, inputs=requests.read_inputs(given)),)


def _given(said: Exchange) -> Mapping[str, Any]:
    """A request that we cannot read was read by the provider: its answer counts without it."""
    try:
        return requests.flat(read_document(said.request))
    except UnreadableError:
        return {}


def _task(said: Exchange, task_id: str) -> tuple[Observation, ...]:
    answer = _answer(said)
    # A question refused says nothing of the task.
    if answer is None or not _is_success(said):
        return ()
    if not as_mapping(answer.get("output")):
        if any(tasks.reason(answer)):
            return ()
        raise UnreadableError("the answer tells of no task: `output` is missing or empty")
    found = tasks.flat(answer)
    return (tasks.read_task(as_id(found.get("task_id")) or task_id, found),)


def _list(said: Exchange) -> tuple[Observation, ...]:
    answer = _answer(said) if _is_success(said) else None
    rows = as_list(answer.get("data")) if answer else []
    return tuple(seen for row in rows for seen in _announced(as_mapping(row)))


def _cancellation(said: Exchange, task_id: str) -> tuple[Observation, ...]:
    """Success is a `request_id` alone; a task no longer PENDING is an `UnsupportedOperation`."""
    answer = _answer(said)
    if answer is None or not _is_success(said) or any(tasks.reason(answer)):
        return ()
    canceled = Observation(
        provider=tasks.NAME, generation_id=task_id, state=GenerationState.CANCELED
    )
    return (canceled,)


def _answer(said: Exchange) -> Mapping[str, Any] | None:
    """The answer, or None where it is a passing trouble of the way; raises UnreadableError."""
    passing = said.status in (408, 429) or said.status >= 500
    if passing or said.answer.lstrip().startswith(b"<"):
        return None
    return read_document(said.answer)


def _is_success(said: Exchange) -> bool:
    return 200 <= said.status < 300
