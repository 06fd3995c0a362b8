"""The documented shapes in which DashScope speaks of a task, key for key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from receiver.simulator.dashscope.tasks import Drawn, Failure, Task

# Times have no offset and are Shanghai's, which knows no summer time.
SHANGHAI = timezone(timedelta(hours=8))
REGION = "cn-beijing"


def submitted(task: Task) -> dict[str, Any]:
    """The answer to a submission."""
    output = {"task_id": task.task_id, "task_status": "PENDING"}
    return {"output": output, "request_id": task.request_id}


def unknown(task_id: str, request_id: str) -> dict[str, Any]:
    """The answer for a task that never was, is another account's, or is forgotten."""
    output = {"task_id": task_id, "task_status": "UNKNOWN"}
    return {"request_id": request_id, "output": output}


def queried(task: Task, request_id: str) -> dict[str, Any]:
    """The answer to a status query."""
    output: dict[str, Any] = {"task_id": task.task_id, "task_status": task.status, **_times(task)}
    if task.status == "SUCCEEDED":
        output["results"] = [_result(slot) for slot in task.slots]
    if task.failure:
        output |= task.failure._asdict()
    output["task_metrics"] = {
        "TOTAL": task.submission.n,
        "SUCCEEDED": len(task.drawn),
        "FAILED": task.failed_slots,
    }
    answer = {"request_id": request_id, "output": output}
    if task.status == "SUCCEEDED":
        answer["usage"] = {"image_count": len(task.drawn)}
    return answer


def listed(task: Task) -> dict[str, Any]:
    """One row of the list of tasks; times in epoch milliseconds."""
    return {
        "api_key_id": api_key_id(task.account),
        "caller_parent_id": api_key_id(task.account),
        "caller_uid": api_key_id(task.account),
        "gmt_create": _epoch_ms(task.submitted_at),
        "start_time": _epoch_ms(task.scheduled_at),
        "end_time": _epoch_ms(task.ended_at),
        "model_name": task.submission.model,
        "region": REGION,
        "request_id": task.request_id,
        "status": task.status,
        "task_id": task.task_id,
        "user_api_unique_key": unique_key(task),
    }


def unique_key(task: Task) -> str:
    """What was called, in DashScope's words; its last part is the model."""
    return f"apikey:v1:aigc:text2image:image-synthesis:{task.submission.model}"


def api_key_id(account: str) -> str:
    """A number that stands for a key; the same key always has the same."""
    return str(int.from_bytes(account.encode()[-4:].rjust(4), "big"))


def local_time(moment: datetime) -> str:
    """A moment in Shanghai, to the second."""
    return f"{moment.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"


def _times(task: Task) -> Mapping[str, str]:
    moments = {
        "submit_time": task.submitted_at,
        "scheduled_time": task.scheduled_at,
        "end_time": task.ended_at,
    }
    return {
        name: f"{local_time(moment)}.{moment.microsecond // 1000:03}"
        for name, moment in moments.items()
        if moment is not None
    }


def _result(slot: Drawn | Failure) -> dict[str, str]:
    return {"url": slot.url} if isinstance(slot, Drawn) else slot._asdict()


def _epoch_ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
