"""What DashScope says: events, tasks, lists of tasks, and requests that somebody remembers."""

from __future__ import annotations

from receiver.providers import dashscope_task
from tests.fuzz.hearings import CUT, law_of
from tests.fuzz.target import Sabotage, Target
from tests.receiver.providers.dashscope_bodies import LIST, SUBMIT, TASK

TARGET = Target(
    law=law_of("dashscope"),
    sabotage=Sabotage(
        says="knowing a link", owner=dashscope_task, name="as_url", instead=lambda text: text
    ),
    words=(
        *(b"pushed\n", b"remembered an-id\n", CUT, f"polled GET {TASK} 200\n".encode()),
        *(f"overheard POST {SUBMIT} 200\n".encode(), f"polled GET {LIST} 200\n".encode()),
        *(b'"type":"dashscope:System:AsyncTaskFinish"', b'"data":{"task_id":', b'"output_result":'),
        *(b'"output":{', b'"task_status":"SUCCEEDED"', b'"results":[{"url":"https://', b'"FAILED"'),
        *(
            b'"task_metrics":{"TOTAL":',
            b'"code":"DataInspectionFailed"',
            b'"message":"',
            b'"UNKNOWN"',
        ),
        *(b'"submit_time":"2026-11-21 20:00:00.1"', b'"gmt_create":1795348800000', b'"end_time":'),
        *(b'"user_api_unique_key":"apikey:v1:aigc:text2image:x:wanx"', b'"input":{"prompt":"a"}'),
        *(
            b'"parameters":{"n":4,"size":"512*512","seed":42}',
            b'"choices":[{"message":{"content":[',
        ),
    ),
)
