"""A whole service under attack by strangers: its three listeners, its processes, what they cost."""

from __future__ import annotations

import asyncio
import re
import resource
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from aiohttp import web

from archiver import clock
from archiver.sqlite import open_reader
from receiver.path_tokens import mint
from tests.receiver.hostile_wires import Good
from tests.receiver.wire import ask, connected, signature
from tests.service import SECRET, Service, eventually, running

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@dataclass(kw_only=True, slots=True)
class Siege:
    """The service, and a provider that says back to the gateway whatever it is asked."""

    service: Service
    folder: Path
    pids: dict[str, int]
    patience_seconds: float
    _numbers: count[int] = field(default_factory=count)

    def good(self, listener: str) -> Good:
        """A new request that this listener takes: `public`, `private` or `gateway`."""
        number = next(self._numbers)
        body = b'{"id": "good-%d", "status": "queued"}' % number
        if listener == "public":
            return Good(
                method=b"POST",
                path=b"/webhooks/doitong",
                headers=[signature(body, SECRET)],
                body=body,
            )
        if listener == "private":
            path = f"/api/v1/generations/doitong/good-{number}".encode()
            return Good(method=b"PUT", path=path, headers=[], body=b'{"prompt": "a fox"}')
        path = f"/gateway/dashscope/api/v1/good-{number}".encode()
        return Good(method=b"POST", path=path, headers=[], body=b"{}")

    def port(self, listener: str) -> int:
        """Where it listens."""
        return int(self.service.logged("listening")[listener].rpartition(":")[2])

    async def takes(self, listener: str) -> bool:
        """Whether it takes a good request at this moment."""
        answer = await ask(self.port(listener), self.good(listener).wire())
        return answer.status in (200, 202)

    async def webhook_seconds(self) -> float | None:
        """After how many seconds a webhook is answered 202; None if it is not."""
        began = clock.monotonic()
        try:
            taken = await self.takes("public")
        except (ConnectionError, asyncio.IncompleteReadError):
            return None
        return clock.monotonic() - began if taken else None

    def peaks(self) -> dict[str, int]:
        """How many bytes each role has held at most since `forget_peaks`."""
        return {role: status_bytes(pid, "VmHWM") for role, pid in self.pids.items()}

    def forget_peaks(self) -> dict[str, int]:
        """What each role holds now, from where its peak is counted from now on (proc(5))."""
        for pid in self.pids.values():
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        return {role: status_bytes(pid, "VmRSS") for role, pid in self.pids.items()}

    async def absorbed(self) -> None:
        """Returns once all that was heard is absorbed or set aside."""

        async def all_of_it() -> bool | None:
            return True if _is_absorbed(self.folder) else None

        await eventually(all_of_it)

    def unhurt(self) -> bool:
        """Whether no role has died, and none has shown a traceback."""
        alive = {name: pid for pid, name in self.service.roles().items()}
        return alive == self.pids and "Traceback" not in self.service.log


@asynccontextmanager
async def besieged(folder: Path, patience_seconds: float) -> AsyncIterator[Siege]:
    """A service with every door there is, and so much patience with a header, a body, a silence."""
    async with _echo() as port:
        provider = {"base_url": f"http://127.0.0.1:{port}", "gateway": True}
        anywhere = dict.fromkeys(("public", "private", "gateway"), "127.0.0.1:0")
        limits = dict.fromkeys(("keepalive_seconds", "read_seconds"), patience_seconds)
        tables = {
            "listen": {**anywhere, **limits, "failures_per_minute": 10**6},
            "providers_modelslab": provider,
            "providers_modelslab_secrets": {"a": SECRET},
            "providers_dashscope": provider,
        }
        with running(folder, **tables) as service:
            pids = {name: pid for pid, name in service.roles().items()}
            yield Siege(
                service=service, folder=folder, pids=pids, patience_seconds=patience_seconds
            )
            assert await asyncio.to_thread(service.stop) == 0


def token_path(number: int) -> bytes:
    """A path of ours for one webhook of ModelsLab's."""
    return f"/webhooks/modelslab/{mint(SECRET, b'%d' % number)}".encode()


def status_bytes(pid: int, name: str) -> int:
    """One line of proc(5)'s status, which is in KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0]) << 10


def may_open(files: int) -> int:
    """Lets this process have so many files open; how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = min(hard, max(soft, files))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


async def spoken(port: int, wire: bytes, *, hang_up: bool = False) -> list[int]:
    """Says all of it and no more; the statuses of all that is answered until the other hangs up.

    Or one answer, and hangs up itself.
    """
    async with connected(port) as connection:
        connection.writer.write(wire)
        heard = await (connection.reader.readline() if hang_up else connection.rest())
    return [int(status) for status in _STATUS.findall(heard)]


@asynccontextmanager
async def held_open(port: int, said: Sequence[bytes]) -> AsyncIterator[list[asyncio.StreamReader]]:
    """So many connections, on each of which something was said; their other ends."""
    async with AsyncExitStack() as stack:
        readers = []
        for words in said:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                continue
            stack.callback(writer.close)
            writer.write(words)
            readers.append(reader)
        yield readers


async def all_closed(readers: Sequence[asyncio.StreamReader], seconds: float) -> int:
    """How many of them the other side has closed within that time."""

    async def closed(reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while await reader.read(1 << 16):
                pass

    tasks = [asyncio.create_task(closed(reader)) for reader in readers]
    if not tasks:
        return 0
    done, pending = await asyncio.wait(tasks, timeout=seconds)
    for task in pending:
        task.cancel()
    return len(done)


@asynccontextmanager
async def _echo() -> AsyncIterator[int]:
    """A provider whose answer is the request's body; its port."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        return web.Response(body=body, content_type="application/json")

    server = web.Server(answer, access_log=None, auto_decompress=False)
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield int(runner.addresses[0][1])
    await runner.cleanup()


def _is_absorbed(folder: Path) -> bool:
    catalog = open_reader(folder / "catalog.db")
    try:
        reached = dict(catalog.execute("SELECT inbox, position FROM inbox_positions"))
    finally:
        catalog.close()
    for name in ("receive", "gateway", "web"):
        inbox = open_reader(folder / "inbox" / f"{name}.db")
        try:
            said = "SELECT uuid, (SELECT coalesce(max(position), 0) FROM deliveries) FROM inbox"
            [(uuid, last)] = inbox.execute(said)
        finally:
            inbox.close()
        if reached.get(uuid, 0) < last:
            return False
    return True


def what_was_heard(folder: Path) -> list[bytes]:
    """The bodies of all that the public listener has stored."""
    inbox = open_reader(folder / "inbox" / "receive.db")
    try:
        return [body for (body,) in inbox.execute("SELECT body FROM deliveries")]
    finally:
        inbox.close()
