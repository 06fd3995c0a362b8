"""Which tasks a client asks to be listed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from receiver.simulator.dashscope.refusals import invalid_parameter
from receiver.simulator.dashscope.shapes import SHANGHAI, listed
from receiver.simulator.dashscope.tasks import Task

_DAY = timedelta(hours=24)
_YEARS = range(2000, 2100)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A window of submission times, what else must hold, and the page that is wanted of it."""

    start: datetime
    end: datetime
    model_name: str | None
    status: str | None
    page_no: int
    page_size: int

    def of(self, tasks: Iterable[Task], request_id: str) -> dict[str, Any]:
        """The documented answer, the latest task first."""
        rows = [listed(task) for task in tasks if self._holds(task)][::-1]
        first = (self.page_no - 1) * self.page_size
        return {
            "request_id": request_id,
            "data": rows[first : first + self.page_size],
            "total": len(rows),
            "total_page": -(-len(rows) // self.page_size),
            "page_no": self.page_no,
            "page_size": self.page_size,
        }

    def _holds(self, task: Task) -> bool:
        return (
            self.start <= task.submitted_at <= self.end
            and self.model_name in {None, task.submission.model}
            and self.status in {None, task.status}
        )


def read_page(query: Mapping[str, str], now: datetime) -> Page:
    """Read the list's parameters; the default is the last 24 hours, ten to a page.

    Raises RefusalError 400, for a window beyond 24 hours, too.
    """
    start, end = _moment(query, "start_time"), _moment(query, "end_time")
    # Times are told to the second, and the second that is named belongs to the window.
    end = end + timedelta(seconds=1) if end else start + _DAY if start else now
    start = start or end - _DAY
    if not timedelta(0) <= end - start <= _DAY + timedelta(seconds=1):
        raise invalid_parameter("start_time and end_time must lie within 24 hours")
    return Page(
        start=start,
        end=end,
        model_name=query.get("model_name") or None,
        status=query.get("status") or None,
        page_no=_number(query, "page_no", 1, 10**6),
        page_size=_number(query, "page_size", 10, 100),
    )


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    written = query.get(name)
    if not written:
        return None
    try:
        moment = datetime.strptime(written, "%Y%m%d%H%M%S").replace(tzinfo=SHANGHAI)
        if moment.year not in _YEARS:
            raise ValueError("no window begins or ends there")
    except ValueError as error:
        raise invalid_parameter(f"{name} must look like 20260731235959") from error
    return moment


def _number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    written = query.get(name) or str(default)
    if not (written.isascii() and written.isdigit() and 1 <= int(written[:8]) <= most):
        raise invalid_parameter(f"{name} must be a whole number from 1 to {most}")
    return int(written)
