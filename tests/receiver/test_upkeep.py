"""What the archive looks after beside its work, with nobody asking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from archiver import clock
from archiver.inbox.sqlite import SqliteInbox, SqliteInboxReader
from archiver.log import Outage
from archiver.recovery.tombstones import put_tombstone
from archiver.tombstone import Tombstone, name_digest
from receiver.inboxes import Inboxes
from receiver.roles import upkeep as room
from receiver.roles.upkeep import index_is_lost, keep_up
from tests.archiver.recovery.shelf import Shelf, shelf_in
from tests.clocks import NOON
from tests.inboxes import inboxes_in
from tests.receiver.deliveries import webhook
from tests.receiver.roles_in_process import configuration
from tests.service import eventually


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    async with shelf_in(tmp_path) as shelf:
        await shelf.fill(8)
        yield shelf


@asynccontextmanager
async def at_work(shelf: Shelf) -> AsyncIterator[None]:
    inboxes = Inboxes(inboxes_in(shelf.folder / "inbox"))
    config = configuration(shelf.folder)
    task = asyncio.create_task(keep_up(config, shelf.blobs, shelf.catalog, shelf.reader, inboxes))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        inboxes.close()


async def test_the_archive_is_looked_after(shelf: Shelf) -> None:
    """Manifests are gathered into segments, tombstones that came with an older copy are obeyed, and
    old bodies are ordered out of the inboxes, but for those that nobody has absorbed."""
    gone = Tombstone(
        name_sha256=name_digest("doitong", "g0"),
        index=None,
        numbers=(1,),
        forgotten_at=NOON,
        reason="erasure",
    )
    await put_tombstone(shelf.blobs, gone, None)
    inbox = SqliteInbox(shelf.folder / "inbox" / "receive.db")
    await inbox.start()
    old, young = clock.now() - timedelta(days=31), clock.now()
    for age, name in ((old, "old"), (young, "young")):
        await inbox.append(replace(webhook(name), received_at=age))
    reader = SqliteInboxReader(shelf.folder / "inbox" / "receive.db")
    await shelf.catalog.write(
        lambda tables: tables.deliveries.advance(reader.uuid, 2, received_at=young)
    )

    async def done() -> list[tuple[int, int]] | None:
        ready = await shelf.reader.read(lambda tables: tables.prunings.ready())
        left = await shelf.reader.read(lambda tables: tables.tombstones.erasures(limit=1))
        return [(it.first, it.last) for it in ready] if ready and not left else None

    async with at_work(shelf):
        assert await eventually(done) == [(1, 1)]
    reader.close()
    await inbox.close()
    assert await shelf.load("g0") is None
    assert len([*(shelf.bucket / "manifests/segments").iterdir()]) == 1


async def test_a_bucket_that_fails_is_told_of_once(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And everything is done when it is back."""
    monkeypatch.setattr(room, "SOON_SECONDS", 0.001)
    aside = shelf.bucket.rename(shelf.folder / "aside")
    shelf.bucket.write_text("a file where the bucket should be")

    met, often = Outage.met, asyncio.Event()
    times = 0

    def counted(outage: Outage, error: Exception) -> None:
        nonlocal times
        times += 1
        met(outage, error)
        if times == 3:
            often.set()

    monkeypatch.setattr(Outage, "met", counted)

    async def gathered() -> bool | None:
        return True if (shelf.bucket / "manifests/segments").is_dir() else None

    with capture_logs() as lines:
        async with at_work(shelf):
            await often.wait()
            shelf.bucket.unlink()
            aside.rename(shelf.bucket)
            await eventually(gathered)
    events = [line["event"] for line in lines]
    assert events.count("the archive is not looked after") == 1


async def test_an_empty_index_beside_an_archive_is_a_lost_one(shelf: Shelf, tmp_path: Path) -> None:
    """But not beside an empty bucket, nor one that does not answer, as on a first day."""
    assert not await index_is_lost(shelf.blobs, shelf.reader)
    (tmp_path / "new").mkdir()
    async with shelf_in(tmp_path / "new") as new:
        assert not await index_is_lost(new.blobs, new.reader)
        assert await index_is_lost(shelf.blobs, new.reader)
        new.bucket.write_text("a file where the bucket should be")
        assert not await index_is_lost(new.blobs, new.reader)
