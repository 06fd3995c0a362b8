"""What EventBridge says when a task has ended: a CloudEvent (version 1.0)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from receiver.simulator.dashscope.shapes import REGION, api_key_id, local_time, queried, unique_key
from receiver.simulator.dashscope.tasks import Task


def finished(task: Task, *, event_id: str, at: datetime, contain_result: bool) -> bytes:
    """The body that tells of an ended task, with its output if `contain_result`."""
    started_at, ended_at = task.scheduled_at or task.submitted_at, task.ended_at or at
    data: dict[str, Any] = {
        "task_id": task.task_id,
        "task_status": task.status,
        "start_time": local_time(started_at),
        "end_time": local_time(ended_at),
        "request_id": task.request_id,
        "region": REGION,
        "api_key_id": api_key_id(task.account),
        "user_api_unique_key": unique_key(task),
        "contain_result": contain_result,
    }
    if contain_result:
        data["output_result"] = queried(task, task.request_id)
    written = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
    event = {
        "id": event_id,
        "source": "acs.dashscope",
        "specversion": "1.0",
        "type": "dashscope:System:AsyncTaskFinish",
        "time": written,
        "datacontenttype": "application/json;charset=utf-8",
        "aliyunaccountid": api_key_id(task.account),
        "aliyunpublishtime": written,
        "aliyunregionid": REGION,
        "aliyuneventbusname": "default",
        "data": data,
    }
    return json.dumps(event).encode()
