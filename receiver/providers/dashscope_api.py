"""The ways of DashScope's API, by `dashscope-stable-diffusion` and the vendor's page on tasks.

Regions and workspaces have base URLs of their own, so a path is known by its end.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from archiver.models import Generation
from receiver.exchange import Request
from receiver.provider_tables import Api
from receiver.providers import requests
from receiver.providers.base import Concern

_SUBMIT = re.compile(r"(?:^|/)services/aigc/(?!text-generation)([^/]+)")
_TASKS = re.compile(r"(?:^|/)tasks(?:/([^/]+)(/cancel)?)?/?$")


class Question(NamedTuple):
    """A request about one task, or about a list of them where `task_id` is None."""

    task_id: str | None
    cancels: bool


def submitted_task(method: str, path: str) -> str | None:
    """DashScope's word for the task that a submission asks for; None if it is no submission."""
    found = _SUBMIT.search(path.partition("?")[0])
    return found[1] if found and method.upper() == "POST" else None


def question(method: str, path: str) -> Question | None:
    """What is asked of tasks, if anything."""
    found = _TASKS.search(path.partition("?")[0])
    if found is None or method.upper() != ("POST" if found[2] else "GET"):
        return None
    task_id = unquote(found[1]) if found[1] else None
    if task_id is not None and not task_id.strip():
        return None
    return Question(task_id=task_id, cancels=bool(found[2]))


def concern(request: Request) -> Concern | None:
    """See `base.Provider.concern`."""
    method, path = request.method, request.path
    if submitted_task(method, path):
        return Concern.SUBMISSION
    return None if question(method, path) is None else Concern.QUESTION


def api_key(request: Request) -> str | None:
    """See `base.Provider.api_key`."""
    return requests.bearer(request)


def with_webhook(request: Request, url: str) -> Request | None:
    """See `base.Provider.with_webhook`: DashScope has none, it tells its account's event bus."""
    return None


def ask(generation: Generation, api_key: str, settings: Api) -> Request | None:
    """See `base.Provider.ask`."""
    task_id = requests.as_step(generation.id)
    if task_id is None:
        return None
    headers = (requests.authorization(api_key),)
    return Request(method="GET", path=f"/api/v1/tasks/{task_id}", headers=headers)


def is_senseless(answer: bytes) -> bool:
    """See `base.Provider.is_senseless`: the question is documented."""
    return False
