"""The SQLite inbox keeps the contract, and survives what SQLite files meet."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from archiver.errors import InboxUnavailableError
from archiver.inbox import InboxReader
from archiver.inbox.sqlite import SqliteInbox, SqliteInboxReader, inbox_files
from archiver.sqlite import open_writer
from tests.archiver.disks import commits, locked
from tests.contracts.inbox import WEBHOOK, InboxAtWork, InboxContract, InboxDriver, webhook

# Appends one delivery, says so, and is killed at once.
KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from archiver.inbox.sqlite import SqliteInbox
from tests.contracts.inbox import WEBHOOK

async def main():
    inbox = SqliteInbox(Path(sys.argv[1]))
    await inbox.start()
    await inbox.append(WEBHOOK)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


class SqliteDriver:
    """An inbox in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @asynccontextmanager
    async def open(self) -> AsyncIterator[InboxAtWork]:
        inbox = SqliteInbox(self._path)
        await inbox.start()
        yield inbox
        await inbox.close()

    @contextmanager
    def reader(self) -> Iterator[InboxReader]:
        reader = SqliteInboxReader(self._path)
        yield reader
        reader.close()

    def broken(self) -> AbstractContextManager[None]:
        return locked(self._path)

    def commits(self) -> int:
        return commits(self._path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox" / "receive.db"


class TestSqliteInbox(InboxContract):
    """Every promise of the contract, on files."""

    @pytest.fixture
    def driver(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> InboxDriver:
        """An inbox that does not wait long for a lock."""
        monkeypatch.setattr("archiver.inbox.sqlite.BUSY_SECONDS", 0.01)
        return SqliteDriver(path)


def test_an_acknowledged_delivery_survives_a_killed_process(path: Path) -> None:
    """What was acknowledged is in the file although nothing was closed or checkpointed."""
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with SqliteDriver(path).reader() as reader:
        assert [WEBHOOK.body] == [delivery.body for delivery in reader.after(0, limit=9)]


async def test_a_file_that_cannot_be_opened_is_said_at_the_start(tmp_path: Path) -> None:
    """Nobody listens to the world with an inbox that cannot hear."""
    inbox = SqliteInbox(tmp_path)  # a folder is no database
    with pytest.raises(InboxUnavailableError, match="the operator should look at the disk"):
        await inbox.start()
    await inbox.close()


async def test_a_file_that_is_still_being_made_cannot_be_read_yet(path: Path) -> None:
    """A reader that comes between a file's birth and its name is told to come again."""
    open_writer(path).close()
    with pytest.raises(InboxUnavailableError, match="no such table"):
        SqliteInboxReader(path)
    async with SqliteDriver(path).open():
        pass
    connection = open_writer(path)
    connection.execute("DELETE FROM inbox")
    connection.close()
    with pytest.raises(InboxUnavailableError, match="still being made"):
        SqliteInboxReader(path)


async def test_a_pruned_body_is_none_and_its_delivery_still_a_duplicate(path: Path) -> None:
    """Bodies may go; the key by which a duplicate is known stays."""
    driver = SqliteDriver(path)
    async with driver.open() as inbox:
        await inbox.append(WEBHOOK)
    connection = open_writer(path)
    connection.execute("UPDATE deliveries SET headers = NULL, body = NULL")
    connection.close()
    async with driver.open() as inbox:
        await inbox.append(WEBHOOK)
    with driver.reader() as reader:
        (pruned,) = reader.after(0, limit=9)
    assert pruned.body is None
    assert pruned.headers == ()


async def test_a_position_is_never_given_twice(path: Path) -> None:
    """Even when the newest row is gone, its position is not used again."""
    driver = SqliteDriver(path)
    async with driver.open() as inbox:
        await inbox.append(webhook(1))
    connection = open_writer(path)
    connection.execute("DELETE FROM deliveries")
    connection.close()
    async with driver.open() as inbox:
        await inbox.append(webhook(2))
    with driver.reader() as reader:
        assert [delivery.ref.position for delivery in reader.after(0, limit=9)] == [2]


async def test_what_lies_beyond_a_position_is_counted(path: Path) -> None:
    """The backlog is a number, read without reading the bodies."""
    async with SqliteDriver(path).open() as inbox:
        for number in range(5):
            await inbox.append(webhook(number))
    reader = SqliteInboxReader(path)
    assert [reader.count_after(position) for position in (0, 2, 5, 99)] == [5, 3, 0, 0]
    reader.close()


def test_the_quarantine_is_no_inbox(tmp_path: Path) -> None:
    """Nothing that was refused is ever taken for something heard."""
    for name in ("web.db", "receive.db", "quarantine.db", "receive.db-wal", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in inbox_files(tmp_path)] == ["receive.db", "web.db"]
    assert inbox_files(tmp_path / "missing") == []


async def test_only_its_owner_can_read_an_inbox(path: Path) -> None:
    """Full links stand in it, each the key to a picture."""
    inbox = SqliteInbox(path)
    await inbox.start()
    await inbox.close()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_disk_that_is_nearly_full_is_left_alone(path: Path) -> None:
    """Below `min_free_bytes` all are refused and told what to do; what was there is there."""
    roomy, narrow = SqliteInbox(path), SqliteInbox(path, min_free_bytes=1 << 60)
    await roomy.start()
    await roomy.append(WEBHOOK)
    await roomy.close()
    await narrow.start()
    with pytest.raises(InboxUnavailableError, match=r"catalog\.min_free_bytes .* free some space"):
        await narrow.append(webhook(1))
    with pytest.raises(InboxUnavailableError, match="bytes left"):
        await narrow.prove(WEBHOOK.received_at)
    await narrow.close()
    reader = SqliteInboxReader(path)
    assert [WEBHOOK.body] == [delivery.body for delivery in reader.after(0, limit=9)]
    reader.close()


async def test_a_folder_that_has_gone_is_told_as_trouble_of_the_disk(path: Path) -> None:
    """What the file system refuses to answer refuses deliveries, not the handler."""
    inbox = SqliteInbox(path, min_free_bytes=1)
    await inbox.start()
    path.parent.rename(path.parent.with_name("elsewhere"))
    with pytest.raises(InboxUnavailableError, match="No such file"):
        await inbox.append(WEBHOOK)
    await inbox.close()
