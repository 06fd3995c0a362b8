"""DashScope's answer about a task of which we hold pictures, by `dashscope-stable-diffusion`.

Of the two shapes of pictures the older, `results`, is written; an answer in the newer, `choices`,
is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from archiver.models import Generation, Slot
from receiver.exchange import Request
from receiver.providers import dashscope_api as api
from receiver.providers.dashscope_task import SHANGHAI
from receiver.providers.values import as_document, as_list, as_mapping

_REASONS = {"code", "message", "error_code", "error_message"}


def asked_id(asked: Request) -> str | None:
    """The one task that a request asks after; None if it asks after none, or a list."""
    question = api.question(asked.method, asked.path)
    return question.task_id if question and not question.cancels else None


def healed(
    generation: Generation, urls: Mapping[int, str], asked: Request, answer: bytes
) -> bytes | None:
    """The success that the answer would be if the task's pictures lay at `urls`, by slot.

    None if it has another shape. A slot without a URL is told as failed.
    """
    said = as_document(answer)
    output = as_mapping(said.get("output"))
    if "choices" in output:
        return None
    told = dict(enumerate(map(as_mapping, as_list(output.get("results")))))
    slots = {slot.index: slot for slot in generation.slots}
    indexes = range(max(slots) + 1)
    results = [_result(slots.get(at), urls.get(at), told.get(at, {})) for at in indexes]
    document = {
        "request_id": said.get("request_id", ""),
        "output": {
            "task_id": generation.id,
            **_times(generation),
            **_without_reasons(output),
            "task_status": "SUCCEEDED",
            **({"video_url": urls[0]} if _is_video(generation) else {"results": results}),
            "task_metrics": {
                "TOTAL": len(results),
                "SUCCEEDED": len(urls),
                "FAILED": len(results) - len(urls),
            },
        },
        "usage": {**as_mapping(said.get("usage")), "image_count": len(urls)},
    }
    return msgspec.json.encode(document)


def _is_video(generation: Generation) -> bool:
    """A task for a video has one, and no list of results."""
    assets = [slot.leading_asset for slot in generation.slots if not slot.role]
    return all(asset is not None and asset.media_type.startswith("video/") for asset in assets)


def _result(slot: Slot | None, url: str | None, told: Mapping[str, Any]) -> dict[str, Any]:
    if url is not None:
        return {**_without_reasons(told), "url": url}
    failure = slot.failure if slot else None
    return {
        "code": failure.code if failure and failure.code else "InternalError",
        "message": failure.message if failure and failure.message else "the picture was lost",
    }


def _without_reasons(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: said for name, said in told.items() if name not in _REASONS}


def _times(generation: Generation) -> dict[str, str]:
    times = {"submit_time": generation.created_at, "end_time": generation.completed_at}
    return {name: _written(moment) for name, moment in times.items() if moment is not None}


def _written(moment: datetime) -> str:
    local = moment.astimezone(SHANGHAI).replace(tzinfo=None)
    return local.isoformat(sep=" ", timespec="milliseconds")
