"""The writing thread: what waits together is written together, and a fault harms one batch."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

import pytest

from archiver import sqlite
from archiver.sqlite import Connection, Error, File, open_reader, open_writer
from archiver.writer import WriterThread
from tests.archiver.disks import commits

# A test that waits longer than this has failed.
PATIENCE_SECONDS = 20


class Ledger:
    """A file with one table, a writer's `connect` and `work` for it, and what they have seen.

    While `gate` is closed, a batch that has begun goes no further.
    """

    def __init__(self, path: Path, page_limits: Sequence[int] = ()) -> None:
        self.path = path
        self.gate = threading.Event()
        self.gate.set()
        self.begun = asyncio.Event()
        self.batches: list[list[str]] = []
        self.connections: list[Connection] = []
        self.threads: set[str] = set()
        self._page_limits = iter([*page_limits, *repeat(1 << 20, 99)])
        self._loop = asyncio.get_running_loop()

    def connect(self) -> Connection:
        connection = open_writer(self.path)
        connection.execute("CREATE TABLE IF NOT EXISTS entries (text TEXT NOT NULL)")
        connection.execute(f"PRAGMA max_page_count = {next(self._page_limits)}")
        self.connections.append(connection)
        return connection

    def work(self, connection: Connection, batch: Sequence[str]) -> Sequence[int | Exception]:
        """Each entry's length; an entry called "bad" is an error of its own, a "bug" everyone's."""
        self.threads.add(threading.current_thread().name)
        self.batches.append(list(batch))
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self.gate.wait(PATIENCE_SECONDS)
        if "bug" in batch:
            raise KeyError("bug")
        connection.execute("BEGIN IMMEDIATE")
        good = [(text,) for text in batch if text != "bad"]
        connection.executemany("INSERT INTO entries VALUES (?)", good)
        connection.execute("COMMIT")
        return [ValueError("bad") if text == "bad" else len(text) for text in batch]

    def entries(self) -> list[str]:
        """What a stranger reads in the file."""
        reader = open_reader(self.path)
        try:
            return [text for (text,) in reader.execute("SELECT text FROM entries ORDER BY rowid")]
        finally:
            reader.close()

    async def writer(self, max_batch: int = 256) -> WriterThread[Connection, str, int]:
        """A writer of this ledger, at work."""
        writer = WriterThread("ledger", File(self.connect), self.work, max_batch=max_batch)
        await writer.start()
        return writer


@pytest.fixture
async def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.db")


async def outcomes(*futures: asyncio.Future[int]) -> list[object]:
    """Results, and errors as what they are called."""
    done = await asyncio.gather(*futures, return_exceptions=True)
    return [type(it).__name__ if isinstance(it, BaseException) else it for it in done]


async def test_what_one_turn_of_the_loop_brings_is_one_commit(ledger: Ledger) -> None:
    """Items that are put together share one commit, on the writer's own thread."""
    writer = await ledger.writer()
    before = commits(ledger.path)
    futures = []
    for text in ("a", "bb", "ccc"):
        futures.append(writer.put(text))
        time.sleep(0.01)  # the thread has every chance to begin too early
    assert await outcomes(*futures) == [1, 2, 3]
    assert ledger.batches == [["a", "bb", "ccc"]]
    assert before + 1 == commits(ledger.path)
    assert {"ledger"} == ledger.threads
    await writer.close()


async def test_what_gathers_during_a_commit_is_the_next_batch(ledger: Ledger) -> None:
    """Batches grow by themselves under load, up to the limit, in the order of arrival."""
    writer = await ledger.writer(max_batch=3)
    ledger.gate.clear()
    first = writer.put("1")
    await ledger.begun.wait()
    later = []
    for text in "23456":
        later.append(writer.put(text))
        await asyncio.sleep(0)  # each in a turn of its own
    assert writer.backlog == 5
    ledger.gate.set()
    await outcomes(first, *later)
    assert ledger.batches == [["1"], ["2", "3", "4"], ["5", "6"]]
    assert writer.backlog == 0
    await writer.close()


async def test_a_future_resolves_after_its_commit_and_not_before(ledger: Ledger) -> None:
    """Whoever is told that an item is written can already read it in the file."""
    writer = await ledger.writer()
    ledger.gate.clear()
    future = writer.put("kept")
    await ledger.begun.wait()
    assert not future.done()
    assert ledger.entries() == []
    ledger.gate.set()
    await future
    assert ledger.entries() == ["kept"]
    await writer.close()


async def test_one_items_error_is_its_own(ledger: Ledger) -> None:
    """`work` may answer an item with an exception; its neighbours are written."""
    writer = await ledger.writer()
    assert await outcomes(*map(writer.put, ["a", "bad", "b"])) == [1, "ValueError", 1]
    assert ledger.entries() == ["a", "b"]
    assert len(ledger.connections) == 1
    await writer.close()


async def test_whatever_a_batch_does_the_thread_lives_on(ledger: Ledger) -> None:
    """An exception fails its whole batch; the next one gets a new connection and works."""
    writer = await ledger.writer()
    assert await outcomes(*map(writer.put, ["a", "bug", "b"])) == ["KeyError"] * 3
    assert await outcomes(writer.put("c")) == [1]
    assert ledger.entries() == ["c"]
    assert len(ledger.connections) == 2
    with pytest.raises(Error, match="closed"):
        ledger.connections[0].execute("SELECT 1")
    await writer.close()


async def test_a_full_disk_fails_its_batch_and_nothing_of_it_stays(tmp_path: Path) -> None:
    """A true SQLITE_FULL is answered to everyone in the batch; with room again, it works."""
    ledger = Ledger(tmp_path / "ledger.db", page_limits=[4])
    writer = await ledger.writer()
    texts = ["small", "x" * 99_999, "small too"]
    assert await outcomes(*map(writer.put, texts)) == ["OperationalError"] * 3
    assert ledger.entries() == []
    assert await outcomes(*map(writer.put, texts)) == [5, 99_999, 9]
    assert texts == ledger.entries()
    await writer.close()


async def test_after_a_fault_nothing_is_committed_behind_what_it_left(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is begun anew first; as long as a reader keeps it from that, all are refused."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    writer = await ledger.writer()
    assert await outcomes(writer.put("a")) == [1]
    reader = open_reader(ledger.path)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM entries").fetchall()
    assert await outcomes(writer.put("b")) == [1]
    assert await outcomes(writer.put("bug")) == ["KeyError"]
    assert await outcomes(writer.put("c")) == ["OperationalError"]
    reader.execute("COMMIT")
    assert await outcomes(writer.put("d")) == [1]
    assert commits(ledger.path) == 1
    assert ledger.entries() == ["a", "b", "d"]
    reader.close()
    await writer.close()


async def test_a_log_that_grew_long_is_shortened_by_and_by(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer looks after its own log."""
    monkeypatch.setattr(sqlite, "LONG_LOG_BYTES", 0)
    writer = await ledger.writer()
    await outcomes(writer.put("a"))
    await outcomes(writer.put("b"))  # the look comes after the answer
    assert commits(ledger.path) <= 1
    await writer.close()


async def test_a_waiter_that_went_away_disturbs_nobody(ledger: Ledger) -> None:
    """A cancelled future is passed over; its item is written all the same."""
    writer = await ledger.writer()
    ledger.gate.clear()
    gone, stays = writer.put("gone"), writer.put("stays")
    await ledger.begun.wait()
    gone.cancel()
    ledger.gate.set()
    assert await asyncio.wait_for(stays, PATIENCE_SECONDS) == 5
    assert ledger.entries() == ["gone", "stays"]
    await writer.close()


async def test_closing_writes_all_that_waits(ledger: Ledger) -> None:
    """Nothing that was taken is dropped at the end, nothing more is taken."""
    writer = await ledger.writer(max_batch=2)
    ledger.gate.clear()
    futures = [writer.put(text) for text in "abcde"]
    await ledger.begun.wait()
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0)
    too_late = writer.put("f")
    ledger.gate.set()
    await closing
    assert [ledger.path] == list(ledger.path.parent.iterdir())  # its log is gone
    assert await outcomes(*futures) == [1] * 5
    assert await outcomes(too_late) == ["Error"]
    assert list("abcde") == ledger.entries()
    await writer.close()  # once more changes nothing


async def test_what_cannot_work_at_all_is_said_at_the_start(tmp_path: Path) -> None:
    """A file that cannot be opened is an error of `start`, and closing is still allowed."""
    ledger = Ledger(tmp_path)  # a folder is no database
    with pytest.raises(Error, match="unable to open"):
        await ledger.writer()


async def test_a_file_that_cannot_be_opened_again_fails_items_until_it_can(tmp_path: Path) -> None:
    """After a fault every batch tries to open anew, so the writer recovers by itself."""
    path = tmp_path / "folder" / "ledger.db"
    ledger = Ledger(path)
    writer = await ledger.writer()
    assert await outcomes(writer.put("bug")) == ["KeyError"]
    for file in path.parent.iterdir():
        file.unlink()
    path.mkdir()
    assert await outcomes(*map(writer.put, "ab")) == ["OperationalError"] * 2
    path.rmdir()
    assert await outcomes(writer.put("c")) == [1]
    assert ledger.entries() == ["c"]
    await writer.close()


async def test_thousands_from_many_tasks_all_arrive_once(ledger: Ledger) -> None:
    """Under a burst every item is written once, in far fewer commits than items."""
    writer = await ledger.writer()
    before = commits(ledger.path)
    texts = [f"{number:04}" for number in range(3000)]

    async def put(text: str) -> int:
        return await writer.put(text)

    assert await asyncio.gather(*map(put, texts)) == [4] * 3000
    assert texts == ledger.entries()
    assert commits(ledger.path) - before < 3000 / 50
    await writer.close()
