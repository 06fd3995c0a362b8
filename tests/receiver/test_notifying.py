"""A dead letter as its operator meets it: seen, understood, sent again."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from archiver.catalog import Catalog, CatalogReader
from archiver.catalog.schema import migrate
from archiver.notices import Event
from archiver.work import JobKind, JobState
from receiver.roles import notifying
from receiver.settings import Notify
from tests.receiver.wire import ask, webhook
from tests.service import SECRET, Service, eventually, holdfast, running

SIGNING = f"whsec_{b64encode(bytes(range(32))).decode()}"


class Receiver:
    """An operator's own software, that has had enough for a while."""

    def __init__(self) -> None:
        self.status = 410
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def handle(self, request: web.BaseRequest) -> web.Response:
        message = Webhook(SIGNING).verify(await request.read(), dict(request.headers))
        self.heard.put_nowait(message)
        return web.Response(status=self.status)


async def typed(service: Service, *arguments: str) -> Any:
    """What a command prints with `--json`."""
    done = await asyncio.to_thread(holdfast, service.config_file, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Receiver, int]]:
    """One on a port of its own."""
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield receiver, runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_a_dead_letter_is_seen_and_sent_again(tmp_path: Path) -> None:
    """A picture is lost and the receiver gone: status counts it, the job says why, and once the
    receiver is back a person has it sent."""
    async with receiving() as (receiver, port):
        with running(
            tmp_path,
            roles=["receive", "archive"],
            notify={
                "url": f"http://127.0.0.1:{port}/",
                "allow_http": True,
                "allow_cidrs": ["127.0.0.1/32"],
                "events": ["lost"],
            },
            notify_secrets={"november": SIGNING},
        ) as service:
            await _lose_and_tell_again(receiver, service)


async def _lose_and_tell_again(receiver: Receiver, service: Service) -> None:
    body = b'{"id": "gone", "status": "failed"}'
    assert (await ask(service.public, webhook(body, secret=SECRET))).status == 202
    message = await receiver.heard.get()
    assert (message["type"], message["data"]["id"]) == ("generation.lost", "gone")

    async def dead_letter() -> Any:
        query = ("jobs", "list", "--kind", "notify", "--state", "discarded")
        return (await typed(service, *query))["jobs"] or None

    (job,) = await eventually(dead_letter)
    assert job["id"] == "gone"
    assert "answered 410: it wants no more messages" in job["reason"]
    assert (await typed(service, "status"))["jobs"]["notify discarded"] == 1
    receiver.status = 204
    ordered = await typed(service, "jobs", "retry", str(job["number"]))
    assert ordered["done"] == 1
    assert await receiver.heard.get() == message
    assert SIGNING not in service.log


async def test_a_start_frees_what_killed_its_workers(tmp_path: Path) -> None:
    """A message that is held for it is tried again."""
    migrate(tmp_path / "catalog.db")
    catalog = Catalog(tmp_path / "catalog.db")
    await catalog.start()
    held = (
        "INSERT INTO jobs (kind, subject, target, state, reason, host, crashes, wanted_at)"
        " VALUES ('notify', 1, 'safe', 'held', 'its worker died 8 times', '', 8, 0)"
    )
    await catalog.write(lambda it: it.connection.execute(held))
    await catalog.write(partial(notifying.begin, Notify(url="https://x")))
    row = await catalog.write(lambda it: it.jobs.of(JobKind.NOTIFY, 1))
    assert (row.state, row.reason) == (JobState.AVAILABLE, "")
    await catalog.close()


async def test_who_tells_nobody_takes_back_what_waits(tmp_path: Path) -> None:
    """A start without a URL: nothing is noted, no bench is set up, nobody is reached."""
    migrate(tmp_path / "catalog.db")
    catalog = Catalog(tmp_path / "catalog.db")
    await catalog.start()
    reader = CatalogReader(tmp_path / "catalog.db")
    for notify, wanted in ((Notify(url="https://x"), set(Event)), (Notify(), set())):
        await catalog.write(lambda it, notify=notify: notifying.begin(notify, it))
        assert await reader.read(lambda it: it.notices.wanted()) == wanted
    reader.close()
    await catalog.close()
