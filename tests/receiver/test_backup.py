"""Backups: whole, of one moment, beside whoever writes; and the older ones go in their time."""

from __future__ import annotations

import asyncio
import fcntl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from archiver import sqlite
from archiver.blobs import BlobStore, Put
from archiver.blobs.folder import FolderBlobs
from archiver.blobs.s3 import S3Blobs
from archiver.catalog import Catalog, CatalogReader
from archiver.catalog.deliveries import BACKUP
from archiver.errors import BackupError, BucketError
from archiver.inbox.sqlite import SqliteInbox
from archiver.recovery import copying
from archiver.recovery.backup import Backup, backups, index_of
from archiver.recovery.restore import Restore
from archiver.recovery.restore_plan import plan
from archiver.signing import NOBODY
from receiver.config import from_tree
from receiver.roles import backups as timer
from tests.archiver.moto_server import make_bucket, serve_moto, session
from tests.clocks import NOON, FrozenClock
from tests.receiver.deliveries import webhook
from tests.receiver.ruins import Ruins


@pytest.fixture
def ruins(tmp_path: Path) -> Ruins:
    return Ruins(folder=tmp_path / "archive", bucket=tmp_path / "bucket")


def backup_of(ruins: Ruins, blobs: BlobStore | None = None) -> Backup:
    return Backup(
        blobs=blobs or ruins.blobs,
        catalog=ruins.catalog,
        inboxes=ruins.folder / "inbox",
        spool=ruins.folder / "spool",
        min_free_bytes=0,
        now=ruins.clock,
    )


async def filled(ruins: Ruins) -> None:
    """Something absorbed, and something that is not yet."""
    await ruins.hear(count=3)
    await ruins.absorb()
    await ruins.hear("gateway", count=2)


async def test_a_backup_says_what_it_holds(ruins: Ruins) -> None:
    """Every database with its sizes and digests, whose it is, and how far it has come."""
    await filled(ruins)
    index = await ruins.back_up()
    assert [file.name for file in index.files] == [
        "catalog.db",
        "inbox/gateway.db",
        "inbox/receive.db",
    ]
    assert index == await index_of(ruins.blobs, index.taken_at)
    assert await backups(ruins.blobs) == {index.taken_at: True}
    assert (index.generations, [*index.positions.values()]) == (3, [3])
    assert [file.position for file in index.files] == [0, 2, 3]
    for file in index.files:
        head = await ruins.blobs.head(file.key)
        assert head is not None
        assert (head.size_bytes, head.media_type) == (file.stored_bytes, "application/gzip")
        assert file.stored_bytes < file.size_bytes
    assert [*(ruins.folder / "spool").iterdir()] == [ruins.folder / "spool" / "backup.lock"]


async def test_the_catalog_is_copied_before_the_inboxes(ruins: Ruins) -> None:
    """Beside a service that hears and absorbs all the while, no copied inbox is older than what
    the copied catalog has absorbed of it."""
    await ruins.hear(count=5)
    await ruins.absorb()
    inbox = SqliteInbox(ruins.inbox("receive"))
    await inbox.start()
    heard, stop = 0, asyncio.Event()

    async def serve() -> None:
        nonlocal heard
        while not stop.is_set():
            await inbox.append(webhook(f"busy {heard}"))
            heard += 1
            if heard % 5 == 0:
                await ruins.absorb()
            await asyncio.sleep(0)

    serving = asyncio.create_task(serve())
    backup = backup_of(ruins, Slow(ruins.bucket))
    index = await backup.take()
    stop.set()
    await serving
    await inbox.close()
    assert heard > 5
    (receive,) = [file for file in index.files if file.inbox]
    assert receive.position >= index.positions[receive.inbox] > 0


class Slow(FolderBlobs):
    """A bucket that lets others go on while it takes an object in."""

    async def put(self, *arguments: object, **more: object) -> Put:
        for _ in range(40):
            await asyncio.sleep(0.001)
        return await super().put(*arguments, **more)  # type: ignore[arg-type]


async def test_writers_do_not_wait_for_a_backup(
    ruins: Ruins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody commits to the catalog while its copy is being made and looked through."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    await filled(ruins)
    catalog = Catalog(ruins.catalog)
    await catalog.start()
    damage, written = sqlite.damage, []

    def write_meanwhile(path: Path) -> str:
        asyncio.run_coroutine_threadsafe(
            catalog.write(lambda tables: tables.deliveries.beat("web", now=NOON)), loop
        ).result(20)
        written.append(path.name)
        return damage(path)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(copying.sqlite, "damage", write_meanwhile)
    await ruins.back_up()
    await catalog.close()
    assert written == ["catalog.db", "gateway.db", "receive.db"]


async def test_what_is_damaged_is_not_backed_up(ruins: Ruins) -> None:
    """A copy of it would push a good backup out one day; nothing is left half done."""
    await filled(ruins)
    await ruins.back_up()
    with ruins.catalog.open("r+b") as file:
        size_bytes = file.seek(0, 2)
        file.seek(size_bytes // 2)
        file.write(bytes(8192))
    with pytest.raises(BackupError, match=r"catalog.db cannot be copied whole"):
        await ruins.back_up()
    assert len(await backups(ruins.blobs)) == 1
    ruins.spoil(ruins.catalog)
    with pytest.raises(BackupError, match="there is no new backup; the older ones stay"):
        await ruins.back_up()
    assert not (ruins.folder / "spool" / "backup").exists()


async def test_a_backup_that_breaks_off_is_none(ruins: Ruins) -> None:
    """Without its index nobody takes it for one, and a day later it goes."""
    await filled(ruins)

    class Full(FolderBlobs):
        async def put(self, key: str, *arguments: object, **more: object) -> Put:
            if "receive" in key:
                raise BucketError("the bucket is full")
            return await super().put(key, *arguments, **more)  # type: ignore[arg-type]

    backup = backup_of(ruins, Full(ruins.bucket))
    with pytest.raises(BucketError, match="full"):
        await backup.take()
    (at,) = await backups(ruins.blobs)
    assert await backups(ruins.blobs) == {at: False}
    assert await backup.prune(1) == 0
    ruins.clock.advance(hours=25)
    assert await backup.prune(1) == 1
    assert [key async for key in ruins.blobs.list("backups/")] == []


async def test_two_backups_do_not_mix(ruins: Ruins) -> None:
    """Neither on one machine, nor in one second on two."""
    await filled(ruins)
    (ruins.folder / "spool").mkdir()
    with (ruins.folder / "spool" / "backup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BackupError, match="another backup of this archive is under way"):
            await backup_of(ruins).take()
    await backup_of(ruins).take()
    with pytest.raises(BackupError, match="in this very second"):
        await backup_of(ruins).take()
    assert len(await backups(ruins.blobs)) == 1


async def test_room_is_left_on_the_disk(ruins: Ruins) -> None:
    """A full disk refuses webhooks, so a backup does not fill it."""
    await filled(ruins)
    with pytest.raises(BackupError, match="free some space"):
        await replace(backup_of(ruins), min_free_bytes=1 << 60).take()


async def test_an_object_that_the_bucket_did_not_keep_is_noticed(ruins: Ruins) -> None:
    """Before anyone relies on it."""
    await filled(ruins)

    class Careless(FolderBlobs):
        async def put(self, key: str, *arguments: object, **more: object) -> Put:
            put = await super().put(key, *arguments, **more)  # type: ignore[arg-type]
            (ruins.bucket / key).write_bytes(b"")
            return put

    with pytest.raises(BackupError, match="has not kept"):
        await backup_of(ruins, Careless(ruins.bucket)).take()


async def test_the_newest_are_kept(ruins: Ruins) -> None:
    """As many as are wanted; of the others every object goes, and nobody else's."""
    await filled(ruins)
    taken = []
    for _ in range(4):
        taken.append((await ruins.back_up()).taken_at)
        ruins.clock.advance(hours=24)
    stranger = ruins.bucket / "backups" / "mine.txt"
    stranger.write_text("mine")
    assert await backup_of(ruins).prune(2) == 2
    assert [*await backups(ruins.blobs)] == taken[2:]
    keys = [key async for key in ruins.blobs.list("backups/")]
    assert len(keys) == 2 * 4 + 1
    assert stranger.exists()


async def test_through_s3_and_back(ruins: Ruins, tmp_path: Path) -> None:
    """The same objects, over the wire, into an empty folder."""
    await filled(ruins)
    with serve_moto() as endpoint:
        bucket = make_bucket(endpoint, f"backups-{uuid4().hex}")
        blobs = S3Blobs(bucket, endpoint=endpoint, session=session())
        index = await backup_of(ruins, blobs).take()
        restore = Restore(
            blobs=blobs,
            catalog=tmp_path / "new" / "catalog.db",
            trust=NOBODY,
            signer=None,
            now=ruins.clock,
        )
        assert await backups(blobs) == {index.taken_at: True}
        await restore.carry_out(index, plan(index, restore.present(index)))
        ruins.clock.advance(hours=1)
        assert await replace(backup_of(ruins, blobs)).prune(1) == 0
        await blobs.close()
    there = replace(ruins, folder=tmp_path / "new")
    assert there.known() == ruins.known()
    assert there.told() == ruins.told()


class Timer:
    """The archive role's timer, on a clock that its own sleeps move."""

    def __init__(self, ruins: Ruins, monkeypatch: pytest.MonkeyPatch, **settings: object) -> None:
        tree = {
            "catalog": {"url": f"sqlite:///{ruins.catalog}", "min_free_bytes": 0},
            "bucket": {"url": f"file://{ruins.bucket}"},
            "backup": settings,
        }
        self.config, self.ruins = from_tree(tree), ruins
        self.blobs: FolderBlobs = ruins.blobs
        self._clock = FrozenClock(ruins.clock.at)
        monkeypatch.setattr(timer.clock, "now", self._clock)
        monkeypatch.setattr(timer.asyncio, "sleep", self._sleep)
        self._ends_at = self._clock.at

    async def _sleep(self, seconds: float) -> None:
        if self._clock.at >= self._ends_at:
            raise asyncio.CancelledError
        self._clock.advance(seconds=max(seconds, 1))

    async def run(self, **duration: float) -> None:
        """Lets so much time go by."""
        self._ends_at = self._clock.at + timedelta(**duration)
        catalog, reader = Catalog(self.ruins.catalog), CatalogReader(self.ruins.catalog)
        await catalog.start()
        try:
            with pytest.raises(asyncio.CancelledError):
                await timer.back_up(self.config, self.blobs, catalog, reader)
        finally:
            reader.close()
            await catalog.close()

    async def taken(self) -> list[timedelta]:
        """How long after the archive's beginning each backup that is left was taken."""
        return [at - NOON for at in await backups(self.blobs)]


async def test_backups_are_taken_as_time_goes_by(
    ruins: Ruins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first when the archive is a day old, then every day, and so many are left."""
    await ruins.hear()
    await ruins.absorb()
    timer = Timer(ruins, monkeypatch, keep=2)
    await timer.run(hours=23)
    assert await timer.taken() == []
    await timer.run(days=4)
    hours = [round(it / timedelta(hours=1)) for it in await timer.taken()]
    assert hours == [72, 96]
    reader = CatalogReader(ruins.catalog)
    with reader.view() as tables:
        beat_at = tables.deliveries.last_beat_at(BACKUP)
    reader.close()
    assert beat_at == max(await backups(ruins.blobs))


async def test_a_backup_by_hand_puts_the_next_one_off(
    ruins: Ruins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is so old as its index says, whoever took it."""
    await ruins.hear()
    await ruins.absorb()
    ruins.clock.advance(hours=20)
    await ruins.back_up()
    timer = Timer(ruins, monkeypatch)
    await timer.run(hours=23)
    assert len(await timer.taken()) == 1
    await timer.run(hours=3)
    assert len(await timer.taken()) == 2


async def test_a_backup_of_next_year_is_no_reason_to_wait(
    ruins: Ruins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that ran ahead, and was set back, keeps nobody from today's."""
    await ruins.hear()
    await ruins.absorb()
    ruins.clock.advance(days=365)
    await ruins.back_up()
    ruins.clock.at = NOON
    timer = Timer(ruins, monkeypatch)
    await timer.run(hours=26)
    assert [round(it / timedelta(days=1)) for it in await timer.taken()] == [1, 365]


async def test_never_is_an_interval_too(ruins: Ruins, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken, and nothing is looked for."""
    await ruins.hear()
    await ruins.absorb()
    timed = Timer(ruins, monkeypatch, every_hours=0)
    catalog, reader = Catalog(ruins.catalog), CatalogReader(ruins.catalog)
    await timer.back_up(timed.config, timed.blobs, catalog, reader)
    assert await timed.taken() == []


async def test_a_backup_that_fails_is_tried_again(
    ruins: Ruins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log says why there is none; once the bucket is back, there is one."""
    await ruins.hear()
    await ruins.absorb()
    timed = Timer(ruins, monkeypatch)

    class Down(FolderBlobs):
        async def put(self, *arguments: object, **more: object) -> Put:
            raise BucketError("the bucket is down")

    timed.blobs = Down(ruins.bucket)
    with capture_logs() as logs:
        await timed.run(hours=25)
    assert {(it["event"], it["error"]) for it in logs} == {
        ("there is no new backup", "the bucket is down")
    }
    timed.blobs = ruins.blobs
    await timed.run(hours=1)
    assert len(await timed.taken()) == 1
