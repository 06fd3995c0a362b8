"""The list of an account's tasks, by the vendor's page `manage-asynchronous-tasks`."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlencode

from archiver.errors import UnreadableError
from receiver.exchange import Request
from receiver.providers.dashscope_task import SHANGHAI
from receiver.providers.requests import authorization
from receiver.providers.values import as_integer, read_document

# "the window is at most 24 hours"; a task is forgotten after as long.
WINDOW = timedelta(hours=24)

_TIMES = "%Y%m%d%H%M%S"
_PAGE_SIZE = 100


def page(api_key: str, number: int, *, begun_at: datetime, ended_at: datetime) -> Request:
    """The request for one page (from 1) of the tasks submitted within a window."""
    asked = {
        "start_time": begun_at.astimezone(SHANGHAI).strftime(_TIMES),
        "end_time": ended_at.astimezone(SHANGHAI).strftime(_TIMES),
        "page_no": number,
        "page_size": _PAGE_SIZE,
    }
    return Request(
        method="GET",
        path=f"/api/v1/tasks/?{urlencode(asked)}",
        headers=(authorization(api_key),),
    )


def count_pages(answer: bytes) -> int:
    """How many pages there are; raises UnreadableError if the answer is no list."""
    document = read_document(answer)
    pages = as_integer(document.get("total_page"), least=0)
    if pages is None:
        raise UnreadableError("the answer is no list of tasks: `total_page` is missing")
    return pages
