"""A catalog that cannot be written for a while: what is told is taken in all the same."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from archiver.sqlite import open_reader
from tests.receiver.wire import Answer, ask, head, length, webhook
from tests.service import SECRET, Service, eventually, running

COUNT = 30
# What any command does that changes something, and is suspended (Ctrl-Z) while it does.
SUSPENDED = """
import os, signal, sys
from pathlib import Path
from archiver.sqlite import open_writer
catalog = open_writer(Path(sys.argv[1]))
catalog.execute("BEGIN IMMEDIATE")
print("inside", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
catalog.execute("COMMIT")
"""


@contextmanager
def suspended(catalog: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the catalog's write lock and does not go on."""
    command = [sys.executable, "-c", SUSPENDED, str(catalog)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "inside\n"
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            assert process.wait() == 0


def push(service: Service, name: str) -> asyncio.Task[Answer]:
    body = json.dumps({"id": name, "status": "processing"}).encode()
    return asyncio.create_task(ask(service.public, webhook(body, secret=SECRET)))


def remember(service: Service, name: str) -> asyncio.Task[Answer]:
    body = b'{"prompt": "a fox"}'
    path = f"/api/v1/generations/doitong/{name}".encode()
    asked = head(length(body), method=b"PUT", path=path) + body
    return asyncio.create_task(ask(service.private, asked))


def known(folder: Path) -> dict[str, int]:
    """How many deliveries each generation was heard of in."""
    with closing(open_reader(folder / "catalog.db")) as catalog:
        return dict(
            catalog.execute(
                "SELECT id, count(*) FROM observations JOIN generations ON key = generation"
                " GROUP BY id"
            )
        )


@pytest.mark.parametrize("killed", [False, True])
async def test_a_command_suspended_in_a_transaction_keeps_no_sender_waiting(
    tmp_path: Path, killed: bool
) -> None:
    """Webhooks and remembered requests are acknowledged while somebody holds the catalog's write
    lock, even where the role that absorbs dies of it; once the lock is gone each takes effect
    once."""
    names = [f"g{number}" for number in range(COUNT)]
    with running(tmp_path) as service:
        with suspended(tmp_path / "catalog.db"):
            sent = [send(service, name) for name in names for send in (push, remember)]
            assert {(await each).status for each in sent} == {202}
            assert known(tmp_path) == {}
            if killed:
                os.kill(service.pid("archive"), signal.SIGKILL)

        async def absorbed() -> dict[str, int] | None:
            return found if len(found := known(tmp_path)) == COUNT else None

        await eventually(absorbed)

        async def twice_each() -> bool | None:
            return True if set(known(tmp_path).values()) == {2} else None

        await eventually(twice_each)
        assert await asyncio.to_thread(service.stop) == 0
    assert known(tmp_path) == dict.fromkeys(names, 2)
    assert "Traceback" not in service.log
