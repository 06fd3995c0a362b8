"""The role `web` as it runs, asked by schemathesis all that its description makes think of."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from aiohttp import web
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from archiver.web.described import DOCUMENT
from receiver.roles import web as role
from tests.archiver.exporting.shelf import fill
from tests.receiver.roles_in_process import serving

DESCRIBED = msgspec.json.decode(DOCUMENT)
# Beside hundreds of cases at every bound of every schema, so many by chance of each operation.
BY_CHANCE = int(os.environ.get("HOLDFAST_API_EXAMPLES", "0"))
CONFIG: dict[str, Any] = {
    "generation": {"deterministic": True, "max-examples": BY_CHANCE or 1},
    "phases": {"fuzzing": {"enabled": BY_CHANCE > 0}, "stateful": {"enabled": False}},
    "checks": {
        # A picture of the archive is missing in its bucket, and told so.
        "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", 503]},
        # What a query or a cursor means no schema says.
        "positive_data_acceptance": {"enabled": False},
    },
}


@dataclass(frozen=True, slots=True)
class Serving:
    """The role as it runs, and what it has mounted."""

    url: str
    app: web.Application

    def json(self, path: str) -> Any:
        """What a GET is answered."""
        answer = requests.get(self.url + path, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass(frozen=True, slots=True)
class Told:
    """What came of asking: how often, with which statuses of each operation, and what was wrong."""

    asked: int
    statuses: Mapping[str, set[int]]
    wrong: list[tuple[str, Any]] = field(default_factory=list)


@contextmanager
def served_on_a_thread(folder: Path, **tables: Any) -> Iterator[Serving]:
    """The role over a small archive; `tables` are of its configuration."""
    ready: Queue[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Queue()
    mounted: list[web.Application] = []
    compose = role.private_app

    def composed(**parts: Any) -> web.Application:
        mounted.append(compose(**parts))
        return mounted[-1]

    async def serve() -> None:
        await fill(folder)
        async with serving(folder, **tables) as running:
            stop = asyncio.Event()
            ready.put((running.url, asyncio.get_running_loop(), stop))
            await stop.wait()

    (folder / "metrics").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder / "metrics"))
        patched.setattr(role, "private_app", composed)
        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        url, loop, stop = ready.get(timeout=30)
        yield Serving(url, mounted[0])
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def ask(url: str, document: Mapping[str, Any] = DESCRIBED, **config: Any) -> Told:
    """Asks all that a description makes think of, right and wrong; `config` is schemathesis's."""
    chosen = SchemathesisConfig.from_dict({**CONFIG, **config})
    schema = schemathesis.openapi.from_dict(document, config=chosen)
    schema.config.update(base_url=url)
    asked, wrong, statuses = 0, list[tuple[str, Any]](), dict[str, set[int]]()
    for event in from_schema(schema).execute():
        assert not isinstance(event, events.FatalError | events.NonFatalError), event
        if not isinstance(event, events.ScenarioFinished):
            continue
        asked += len(event.recorder.cases)
        checks = (check for each in event.recorder.checks.values() for check in each)
        wrong += [(event.label, check.failure_info) for check in checks if check.failure_info]
        answers = (it.response for it in event.recorder.interactions.values() if it.response)
        statuses.setdefault(event.label, set()).update(it.status_code for it in answers)
    return Told(asked, statuses, wrong)
