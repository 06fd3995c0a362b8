"""`holdfast submit` as an operator types it, and a provider that answers as it is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from archiver.inbox.sqlite import SqliteInboxReader
from archiver.models import Observation
from receiver.providers import observations
from tests.service import HOLDFAST, PATIENCE_SECONDS, write_config

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Typed:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What it printed with `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(kw_only=True)
class Shop:
    """An operator's folder: a configuration, batches, and what came of them."""

    folder: Path
    config_file: Path
    env: dict[str, str] = field(default_factory=dict)

    async def submit(self, *arguments: str) -> Typed:
        """Types the command and waits for its end."""
        async with self.submitting(*arguments) as process:
            async with asyncio.timeout(PATIENCE_SECONDS):
                out, err = await process.communicate()
            assert process.returncode is not None
            return Typed(code=process.returncode, out=out.decode(), err=err.decode())

    @asynccontextmanager
    async def submitting(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Types the command; it is killed at the end of the block if it still runs."""
        process = await asyncio.create_subprocess_exec(
            *(HOLDFAST, "--config", str(self.config_file), "submit", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self.env},
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.communicate()

    def batch(self, *rows: dict[str, Any], name: str = "batch.ndjson") -> str:
        """A batch file of these rows."""
        path = self.folder / name
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return str(path)

    def journal(self, name: str = "batch.ndjson") -> list[dict[str, Any]]:
        """The entries of a batch's journal, without its first line."""
        lines = (self.folder / f"{name}.journal").read_text().splitlines()
        return [json.loads(line) for line in lines[1:]]

    def heard(self) -> list[Observation]:
        """What the commands' inbox says, as absorb would read it."""
        reader = SqliteInboxReader(self.folder / "inbox" / "command.db")
        try:
            deliveries = reader.after(0, limit=1000)
        finally:
            reader.close()
        assert {delivery.verified_by for delivery in deliveries} <= {"submit"}
        return [said for delivery in deliveries for said in observations(delivery)]


def shop(folder: Path, url: str, key: str = "practice", **limits: int) -> Shop:
    """All providers at that address; `limits` are the same for all, and by default none."""
    plan = {"per_minute": 0, "parallel": 0, "per_day": 0, **limits}
    tables: dict[str, dict[str, Any]] = {}
    for name in ("doitong", "dashscope", "modelslab"):
        tables[f"providers_{name}"] = {"base_url": url}
        tables[f"providers_{name}_keys"] = {"mine": key}
        tables[f"providers_{name}_limits"] = plan
    return Shop(folder=folder, config_file=write_config(folder, **tables))


class Doitong:
    """A Doitong that holds what it is asked, by idempotency key, and answers by `answers` first."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.webhook_urls: list[str | None] = []
        self.begun: dict[str, str] = {}
        self.answers: list[Answer] = []
        self.heard = asyncio.Condition()
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One submission."""
        asked = json.loads(await request.read())["variables"]["input"]
        self.asked.append(asked["input"]["text"])
        self.webhook_urls.append(asked["options"].get("webhookUrl"))
        async with self.heard:
            self.heard.notify_all()
        if self.answers:
            return await self.answers.pop(0)(request)
        return await self.begin(request)

    async def begin(self, request: web.BaseRequest) -> web.StreamResponse:
        """Begins a generation, once for a key."""
        key = request.headers["Idempotency-Key"]
        name = self.begun.setdefault(key, f"g{len(self.begun) + 1}")
        said = {"id": name, "status": "processing", "url": None, "creditCost": 10}
        return web.json_response({"data": {"generate": said}})

    async def begin_and_say_nothing(self, request: web.BaseRequest) -> web.StreamResponse:
        """Begins one, and then leaves the asker without an answer for ever."""
        await self.begin(request)
        return await self.never(request)

    async def begin_and_fail(self, request: web.BaseRequest) -> web.StreamResponse:
        """Begins one, and then says that something went wrong."""
        await self.begin(request)
        return web.Response(status=500)

    async def never(self, _request: web.BaseRequest) -> web.StreamResponse:
        """No answer."""
        await asyncio.Event().wait()
        raise AssertionError

    async def until_asked(self, times: int) -> None:
        """Returns once it was asked so often."""
        async with asyncio.timeout(PATIENCE_SECONDS), self.heard:
            await self.heard.wait_for(lambda: len(self.asked) >= times)


@asynccontextmanager
async def a_doitong() -> AsyncIterator[Doitong]:
    """On a port of its own."""
    doitong = Doitong()
    runner = web.ServerRunner(web.Server(doitong.handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    doitong.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield doitong
    finally:
        await runner.cleanup()


def answering(status: int, body: Any = None, **headers: str) -> Answer:
    """An answer of that status; underscores in names of headers are hyphens."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body or {}, status=status, headers=named)

    return answer
