"""What DashScope would say or be asked, as bytes, and what is made of them."""

from __future__ import annotations

import json
from typing import Any

from archiver.models import (
    Failure,
    FailureClass,
    Heard,
    Observation,
    SlotObservation,
)
from receiver.exchange import Exchange, encode
from receiver.providers.dashscope import DASHSCOPE

SUBMIT = "/api/v1/services/aigc/text2image/image-synthesis"
TASK_ID = "86ecf553-d340-4e21-af6e-a0c6a421c010"
TASK = f"/api/v1/tasks/{TASK_ID}"
CANCEL = f"{TASK}/cancel"
LIST = "/api/v1/tasks/?page_no=1&status=SUCCEEDED"

HOST = "https://dashscope-result-bj.oss-cn-beijing.aliyuncs.com"
URL = f"{HOST}/1.png?Expires=1795348800&OSSAccessKeyId=secret&Signature=secret%2B"
OTHER_URL = f"{HOST}/2.png?Expires=1795348800&OSSAccessKeyId=secret&Signature=secret%2F"

TIMEOUT = {"code": "InternalError.Timeout", "message": "An internal timeout error"}
TIMED_OUT = Failure(
    failure_class=FailureClass.RENDERABLE,
    code="InternalError.Timeout",
    message="An internal timeout error",
)
MODERATION = {"code": "DataInspectionFailed", "message": "Output data may be inappropriate."}
MODERATED = Failure(
    failure_class=FailureClass.POLICY,
    code="DataInspectionFailed",
    message="Output data may be inappropriate.",
)


def slots(*said: str | Failure | None) -> tuple[SlotObservation, ...]:
    """One slot each: with a URL, with a failure, or with neither yet."""
    return tuple(
        SlotObservation(
            index=index,
            url=one if isinstance(one, str) else None,
            failure=one if isinstance(one, Failure) else None,
        )
        for index, one in enumerate(said)
    )


def exchanged(
    method: str,
    path: str,
    answer: bytes | dict[str, Any],
    *,
    status: int = 200,
    request: bytes | dict[str, Any] = b"",
    heard: Heard = Heard.POLLED,
) -> tuple[Observation, ...]:
    """What one request and its answer say."""
    said = Exchange(
        method=method,
        path=path,
        status=status,
        request=request if isinstance(request, bytes) else json.dumps(request).encode(),
        answer=answer if isinstance(answer, bytes) else json.dumps(answer).encode(),
    )
    return DASHSCOPE.parse(heard, "", encode(said))


def polled(answer: bytes | dict[str, Any], path: str = TASK) -> Observation:
    """What the answer to a question after a task says."""
    (observation,) = exchanged("GET", path, answer)
    return observation


def task(**output: Any) -> Observation:
    """What is said of a task by the `output` of an answer."""
    return polled({"request_id": "r", "output": {"task_id": TASK_ID, **output}})


def submitted(request: bytes | dict[str, Any], path: str = SUBMIT) -> Observation:
    """What a submission says that was accepted as the task of `TASK_ID`."""
    answer = {"output": {"task_status": "PENDING", "task_id": TASK_ID}, "request_id": "r"}
    (observation,) = exchanged("POST", path, answer, request=request, heard=Heard.OVERHEARD)
    return observation


def remembered(request: dict[str, Any]) -> Observation:
    """What a request says that became the task of `TASK_ID`."""
    (observation,) = DASHSCOPE.parse(Heard.REMEMBERED, TASK_ID, json.dumps(request).encode())
    return observation


def pushed(event: dict[str, Any]) -> tuple[Observation, ...]:
    """What an event says."""
    return DASHSCOPE.parse(Heard.PUSHED, "", json.dumps(event).encode())


def finished(**data: Any) -> tuple[Observation, ...]:
    """What the event of a finished task says; its `time` is spelled as the vendor's page does."""
    return pushed(
        {
            "datacontenttype": "application/json;charset=utf-8",
            "aliyunaccountid": "1",
            "aliyunpublishtime": "2023-10-25T01:45:16.993Z",
            "data": {
                "start_time": "2023-10-25 09:45:09",
                "user_api_unique_key": "apikey:v1:aigc:text2image:image-synthesis:wanx-v1",
                "task_status": "SUCCEEDED",
                "contain_result": False,
                "end_time": "2023-10-25 09:45:16",
                "task_id": TASK_ID,
                "region": "cn-beijing",
                "request_id": "r",
                "api_key_id": "1250",
                **data,
            },
            "specversion": "1.0",
            "aliyuneventbusname": "default",
            "id": "81765e5b",
            "source": "acs.dashscope",
            "time": "2023-1-25T01:45:16.969Z",
            "aliyunregionid": "cn-beijing",
            "type": "dashscope:System:AsyncTaskFinish",
        }
    )
