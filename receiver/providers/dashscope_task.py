"""What DashScope says of a task: how far it is, what came of each slot, and when.

The same task is told of in three shapes: nested in an answer, as a row of a list, and in an event.
All are read as one flat mapping.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from archiver.merging import MAX_SLOTS
from archiver.models import GenerationParams, GenerationState, Observation, SlotObservation
from receiver.providers.dashscope_failures import failure
from receiver.providers.values import (
    as_id,
    as_integer,
    as_list,
    as_mapping,
    as_moment,
    as_text,
    as_url,
)

NAME = "dashscope"
# Both a task's record and the links of its results: "24 hours" in `dashscope-stable-diffusion`.
LIFETIME = timedelta(hours=24)

# Times have no offset and are Shanghai's, which knows no summer time; no zone data is needed.
SHANGHAI = timezone(timedelta(hours=8))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Of `dashscope-stable-diffusion`, one table spells SUCCESSED, the samples SUCCEEDED; SUSPENDED is
# no end, nor is UNKNOWN, and any word that is not known reads as RUNNING, too.
_STATES = {
    "PENDING": GenerationState.QUEUED,
    "RUNNING": GenerationState.RUNNING,
    "SUSPENDED": GenerationState.RUNNING,
    "UNKNOWN": GenerationState.RUNNING,
    "SUCCEEDED": GenerationState.SUCCEEDED,
    "SUCCESSED": GenerationState.SUCCEEDED,
    "FAILED": GenerationState.FAILED,
    "CANCELED": GenerationState.CANCELED,
    "CANCELLED": GenerationState.CANCELED,
}
_URL_NAMES = ("url", "image", "video_url", "image_url", "output_image_url")


def flat(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """An answer laid open: `task_metrics` stands in `usage` by the document's table and in
    `output` by its samples, `code` and `message` in `output` or above it.
    """
    return {
        **document,
        **as_mapping(document.get("usage")),
        **as_mapping(document.get("output")),
    }


def read_task(generation_id: str, said: Mapping[str, Any]) -> Observation:
    """What is `said`, made flat, of a task.

    `usage.image_count` counts pictures and is no price, so no cost is known.
    """
    word = (as_text(said.get("task_status")) or as_text(said.get("status")) or "").upper()
    slots = _slots(said)
    state = _state(word, slots)
    if word == "UNKNOWN" and _shown_age(said) >= LIFETIME:
        # UNKNOWN is said as well of another account's or region's task. It is lost only once its
        # record must have been cleared away, and its age is seldom for a parser to know.
        state = GenerationState.LOST
    why = reason(said)
    if state is GenerationState.PARTIAL:
        slots = tuple(_ended(slot, why) for slot in slots)
    return Observation(
        provider=NAME,
        generation_id=generation_id,
        state=state,
        unknown=word == "UNKNOWN",
        odd_status=word if word and word not in _STATES else None,
        failure=failure(*why) if state is GenerationState.FAILED else None,
        slots=slots,
        params=_told_params(said),
        created_at=next(filter(None, map(_moment, _begin(said))), None),
        completed_at=_moment(said.get("end_time")),
    )


def reason(said: Mapping[str, Any]) -> tuple[str, str]:
    """`(code, message)` of what went wrong, empty where nothing did.

    Style repaint says `error_code: 0` and "Success" of a picture that came.
    """
    code = as_id(said.get("code")) or as_id(said.get("error_code")) or ""
    message = as_text(said.get("message")) or as_text(said.get("error_message")) or ""
    fine = code in ("", "0") and message.lower() in ("", "success")
    return ("", "") if fine else (code, message)


def _state(word: str, slots: tuple[SlotObservation, ...]) -> GenerationState:
    state = _STATES.get(word, GenerationState.RUNNING)
    links = sum(slot.url is not None for slot in slots)
    # A synchronous call is answered with its pictures and no status.
    if state is not GenerationState.SUCCEEDED and not (links and not word):
        return state
    if links:
        # One picture is enough for the document to call the whole task a success.
        return GenerationState.SUCCEEDED if links == len(slots) else GenerationState.PARTIAL
    # A success without results promises nothing to fetch: a later answer will bring them.
    failed = any(slot.failure is not None for slot in slots)
    return GenerationState.FAILED if failed else GenerationState.RUNNING


def _slots(said: Mapping[str, Any]) -> tuple[SlotObservation, ...]:
    """The position among the results is the slot; the metrics tell of those without a result."""
    elements = list(_elements(said))
    metrics = as_mapping(said.get("task_metrics")) or as_mapping(said.get("task_metric"))
    total = as_integer(metrics.get("TOTAL"), most=MAX_SLOTS) or 0
    elements.extend([None] * (total - len(elements)))
    return tuple(_slot(index, element) for index, element in enumerate(elements))


def _elements(said: Mapping[str, Any]) -> Iterator[object]:
    """The results, wherever a model puts them; failed ones have their place among them."""
    results = said.get("results")
    yield from results if isinstance(results, list) else filter(None, [as_mapping(results)])
    # Background generation: the pictures again, with text upon them.
    yield from as_list(as_mapping(said.get("text_results")).get("urls"))
    for choice in as_list(said.get("choices")):
        content = as_mapping(as_mapping(choice).get("message")).get("content")
        yield from (part for part in as_list(content) if _url(part))
    if _url(said):
        yield said


def _slot(index: int, element: object) -> SlotObservation:
    """One result: `{url}`, `{code, message}`, or by the SDK `{url: "", code, message}`."""
    url = _url(element)
    why = reason(as_mapping(element))
    failed = failure(*why) if url is None and any(why) else None
    return SlotObservation(index=index, url=url, failure=failed)


def _ended(slot: SlotObservation, why: tuple[str, str]) -> SlotObservation:
    """Once the task is over, a slot that has nothing will get nothing; `why` is the task's word."""
    if slot.url or slot.failure:
        return slot
    code, message = why
    return replace(slot, failure=failure(code, message or "the task ended without this picture"))


def _url(element: object) -> str | None:
    """The table calls each result a URL, the samples show an object that holds one."""
    if isinstance(element, str):
        return as_url(element)
    links = (as_url(as_mapping(element).get(name)) for name in _URL_NAMES)
    return next(filter(None, links), None)


def _told_params(said: Mapping[str, Any]) -> GenerationParams:
    """wanx2.x repeats the prompt as asked; the rewritten `actual_prompt` has no place here."""
    told = (as_mapping(result).get("orig_prompt") for result in as_list(said.get("results")))
    return GenerationParams(prompt=next(filter(None, map(as_text, told)), None))


def _begin(said: Mapping[str, Any]) -> tuple[object, ...]:
    """By an answer, a row and an event."""
    return said.get("submit_time"), said.get("gmt_create"), said.get("start_time")


def _shown_age(said: Mapping[str, Any]) -> timedelta:
    """The least age of the task that the times in the document prove."""
    times = (*_begin(said), said.get("end_time"), said.get("time"))
    shown = sorted(filter(None, map(_moment, times)))
    return shown[-1] - shown[0] if shown else timedelta(0)


def _moment(value: object) -> datetime | None:
    """Text, with or without milliseconds; in lists milliseconds since 1970."""
    millis = as_integer(value, most=10**14) if isinstance(value, int) else None
    if millis is not None:
        return _EPOCH + timedelta(milliseconds=millis)
    return as_moment(value, zone=SHANGHAI)
