"""The whole service on a failing disk: nobody is told "stored" in vain, and nobody has to help."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import pytest

from archiver import clock
from tests.archiver.disks import locked
from tests.preloading import needs_compiler, preloaded
from tests.receiver.wire import Answer, ask, head, webhook
from tests.service import SECRET, Service, eventually, running

REFUSED, STORED = {503}, {200, 202}


@contextmanager
def failing(folder: Path, *, sync: int = 0, write: int = 0, percent: int = 100) -> Iterator[None]:
    """The disk of the service in `folder` fails with these errors, as long as the context lasts."""
    faults = folder / "faults"
    faults.with_suffix(".new").write_text(f"{sync} {write} {percent}")
    faults.with_suffix(".new").replace(faults)
    try:
        yield
    finally:
        faults.unlink()


Trouble = Callable[[Path], AbstractContextManager[None]]

# What happens, and what the senders may hear meanwhile.
TROUBLES: dict[str, tuple[Trouble, set[int]]] = {
    "fsync fails": (lambda folder: failing(folder, sync=errno.EIO), REFUSED),
    "every fifth fsync fails": (
        lambda folder: failing(folder, sync=errno.EIO, percent=20),
        REFUSED | STORED,
    ),
    "the disk is full": (lambda folder: failing(folder, write=errno.ENOSPC), REFUSED),
    "writing fails": (lambda folder: failing(folder, write=errno.EIO), REFUSED),
    "the inbox is locked": (lambda folder: locked(folder / "inbox" / "receive.db"), REFUSED),
}


@asynccontextmanager
async def on_a_disk(folder: Path) -> AsyncIterator[Service]:
    environ = preloaded("faulty_disk", folder)
    with running(folder, env={**environ, "FAULTY_DISK": str(folder / "faults")}) as service:
        yield service


def body(number: int) -> bytes:
    return json.dumps({"id": f"g{number}", "status": "processing"}).encode()


async def deliver(service: Service, *numbers: int) -> list[Answer]:
    """Webhooks of those numbers, all at once."""
    wires = [webhook(body(number), secret=SECRET) for number in numbers]
    return await asyncio.gather(*(ask(service.public, wire) for wire in wires))


async def known(service: Service, number: int) -> bool | None:
    """True once the private listener knows that generation."""
    url = f"http://127.0.0.1:{service.private}/api/v1/generations/doitong/g{number}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return True if response.status == 200 else None


@needs_compiler
@pytest.mark.parametrize(("trouble", "answers"), TROUBLES.values(), ids=TROUBLES)
async def test_a_failing_disk_costs_nothing_but_time(
    tmp_path: Path,
    trouble: Trouble,
    answers: set[int],
) -> None:
    """Senders hear 503 with Retry-After, readers read on, and all goes on by itself afterwards."""
    async with on_a_disk(tmp_path) as service:
        before = service.roles()
        assert {202} == {answer.status for answer in await deliver(service, *range(20))}
        await eventually(lambda: known(service, 19))
        with trouble(tmp_path):
            told = await deliver(service, *range(20, 50))
            alive = await ask(service.public, head(method=b"GET", path=b"/healthz"))
            assert alive.status == 200
            assert await known(service, 19)
        assert answers >= {answer.status for answer in told}
        assert all("retry-after" in it.headers for it in told if it.status == 503)
        ended_at = clock.monotonic()
        await eventually(lambda: _stored(service, 50))
        print(f"taken in again after {clock.monotonic() - ended_at:.2f} s")
        assert {200, 202} >= {answer.status for answer in await deliver(service, *range(50))}
        for number in (0, 35, 50):
            await eventually(lambda number=number: known(service, number))
        assert before == service.roles()


async def _stored(service: Service, number: int) -> bool | None:
    [answer] = await deliver(service, number)
    return True if answer.status in STORED else None
