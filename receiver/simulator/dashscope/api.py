"""The documented endpoints: submit, query, list, cancel."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from aiohttp import web

from receiver.simulator.accounts import Accounts
from receiver.simulator.clock import now
from receiver.simulator.dashscope import shapes
from receiver.simulator.dashscope.listing import read_page
from receiver.simulator.dashscope.refusals import (
    RefusalError,
    arrearage,
    internal_error,
    invalid_api_key,
    invalid_parameter,
    not_pending,
    synchronous,
    throttled,
)
from receiver.simulator.dashscope.studio import Studio
from receiver.simulator.dashscope.submissions import Submission, read_submission
from receiver.simulator.dashscope.tasks import Task
from receiver.simulator.faults import UnknownFaultError, read_faults
from receiver.simulator.hangup import hang_up

_Handler = Callable[[web.Request, str], Awaitable[web.Response]]

_BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


class Api:
    """Reads what clients send, hands it to the studio, answers in the documented shapes."""

    def __init__(
        self,
        studio: Studio,
        accounts: Accounts,
        *,
        troubled_queries: int,
        queries_per_second: int | None,
    ) -> None:
        self._studio = studio
        self._accounts = accounts
        self._troubled_queries = troubled_queries
        self._queries_per_second = queries_per_second
        self._second = 0
        self._queries: dict[str, int] = {}
        self._dropped: set[tuple[str, Submission]] = set()

    def routes(self) -> list[web.RouteDef]:
        """What this room answers for."""
        submit = self._documented(self._submit)
        return [
            web.post("/api/v1/services/aigc/text2image/image-synthesis", submit),
            web.get("/api/v1/tasks", self._documented(self._list)),
            web.get("/api/v1/tasks/", self._documented(self._list)),
            web.get("/api/v1/tasks/{task_id}", self._documented(self._query)),
            web.post("/api/v1/tasks/{task_id}/cancel", self._documented(self._cancel)),
        ]

    async def _submit(self, request: web.Request, account: str) -> web.Response:
        if request.headers.get("X-DashScope-Async") != "enable":
            raise synchronous()
        submission = read_submission(await _json(request))
        faults = _faults(request, submission.prompt)
        task = self._studio.submit(account, submission, faults)
        if "dropped" in faults and (account, submission) not in self._dropped:
            self._dropped.add((account, submission))
            return hang_up(request)
        return web.json_response(shapes.submitted(task))

    async def _query(self, request: web.Request, account: str) -> web.Response:
        self._count_query(account)
        task_id = request.match_info["task_id"]
        task = self._studio.find(account, task_id)
        if task is None:
            return web.json_response(shapes.unknown(task_id, str(uuid4())))
        task.queries += 1
        if task.queries <= self._troubled_queries:
            if "throttled" in task.faults:
                raise throttled()
            if "html_status" in task.faults:
                return web.Response(status=502, text=_BAD_GATEWAY, content_type="text/html")
        if "refreshed" in task.faults and task.status == "SUCCEEDED":
            self._studio.refresh(task)
        return web.json_response(shapes.queried(task, str(uuid4())))

    async def _list(self, request: web.Request, account: str) -> web.Response:
        page = read_page(request.query, now())
        return web.json_response(page.of(self._studio.tasks_of(account), str(uuid4())))

    async def _cancel(self, request: web.Request, account: str) -> web.Response:
        task: Task | None = self._studio.find(account, request.match_info["task_id"])
        if task is None or task.status != "PENDING":
            raise not_pending()
        self._studio.cancel(task)
        return web.json_response({"request_id": str(uuid4())})

    def _count_query(self, account: str) -> None:
        second = int(now().timestamp())
        if second != self._second:
            self._second, self._queries = second, {}
        self._queries[account] = self._queries.get(account, 0) + 1
        limit = self._queries_per_second
        if limit is not None and self._queries[account] > limit:
            raise throttled()

    def _documented(self, handler: _Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            try:
                scheme, _, key = request.headers.get("Authorization", "").partition(" ")
                if scheme != "Bearer" or not self._accounts.knows(key):
                    raise invalid_api_key()
                return await handler(request, key)
            except RefusalError as refusal:
                return web.json_response(refusal.body(str(uuid4())), status=refusal.status)

        return answer


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        message = "Required body invalid, please check the request body format."
        raise invalid_parameter(message) from error


def _faults(request: web.Request, prompt: str) -> frozenset[str]:
    """What is asked for, unless it refuses the submission."""
    asked = request.headers.getall("X-Simulate", ())
    try:
        faults = read_faults("dashscope", headers=asked, prompt=prompt)
    except UnknownFaultError as error:
        raise invalid_parameter(str(error)) from error
    for fault, refusal in (
        ("server_error", internal_error),
        ("rate_limited", throttled),
        ("no_credit", arrearage),
    ):
        if fault in faults:
            raise refusal()
    return faults
