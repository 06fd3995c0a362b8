"""The listeners' roles as they are composed, run inside the test's own process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archiver.inbox.sqlite import SqliteInboxReader
from archiver.models import Delivery
from archiver.sqlite import open_reader
from receiver.config import from_tree
from receiver.roles import gateway, receive, web
from receiver.roles.process import Orders, Run
from receiver.settings import Config
from tests.receiver.wire import PATIENCE_SECONDS, SECRET


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """A running role, and what it has written."""

    port: int
    config: Config
    inbox: Path
    stop: asyncio.Event
    task: asyncio.Future[None]

    async def ended(self) -> None:
        """Returns once it has closed its files; it must have been told to stop."""
        await asyncio.wait_for(asyncio.shield(self.task), 2 * PATIENCE_SECONDS)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stored(self) -> list[Delivery]:
        """What its inbox holds by now, as absorb would read it."""
        reader = SqliteInboxReader(self.inbox)
        try:
            return list(reader.after(0, limit=10_000))
        finally:
            reader.close()

    def refused(self) -> list[tuple[Any, ...]]:
        """(reason, peer, headers, body) of what the quarantine holds by now."""
        connection = open_reader(self.inbox.with_name("quarantine.db"))
        try:
            return list(
                connection.execute("SELECT reason, peer, headers, body FROM rejected ORDER BY id")
            )
        finally:
            connection.close()


def configuration(folder: Path, **tables: Any) -> Config:
    """A configuration whose files lie in `folder`; `tables` overlay it."""
    anywhere = dict.fromkeys(("public", "private", "gateway"), "127.0.0.1:0")
    listen = {**anywhere, **tables.pop("listen", {})}
    return from_tree(
        {
            "listen": listen,
            "catalog": {"url": f"sqlite:///{folder}/catalog.db"},
            "bucket": {"url": (folder / "bucket").as_uri()},
            "providers": {"doitong": {"secrets": {"new": SECRET, "old": "whsec before"}}},
            **tables,
        }
    )


@asynccontextmanager
async def receiving(
    folder: Path, tables: Mapping[str, Any] | None = None, /, **listen: Any
) -> AsyncIterator[Role]:
    """The role `receive`; `tables` are of the configuration, beside `listen`."""
    config = configuration(folder, listen=listen, **(tables or {}))
    async with _running(receive.run, "public", config, "receive.db") as role:
        yield role


@asynccontextmanager
async def serving(folder: Path, **tables: Any) -> AsyncIterator[Role]:
    """The role `web`."""
    async with _running(web.run, "private", configuration(folder, **tables), "web.db") as role:
        yield role


@asynccontextmanager
async def passing_on(folder: Path, **tables: Any) -> AsyncIterator[Role]:
    """The role `gateway`."""
    config = configuration(folder, **tables)
    async with _running(gateway.run, "gateway", config, "gateway.db") as role:
        yield role


@asynccontextmanager
async def _running(run: Run, listener: str, config: Config, inbox: str) -> AsyncIterator[Role]:
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    orders = Orders(config=config, sockets={listener: bound.detach()})
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.ensure_future(run(orders, stop, ready.set))
    starting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, starting], return_when=asyncio.FIRST_COMPLETED)
    starting.cancel()
    try:
        if not task.done():
            yield Role(
                port=port,
                config=config,
                inbox=config.catalog.inbox_folder / inbox,
                stop=stop,
                task=task,
            )
    finally:
        stop.set()
        await asyncio.wait_for(task, 2 * PATIENCE_SECONDS)
