"""The parent puts a new catalog in its place, and keeps everybody from it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from archiver.catalog import Catalog
from archiver.catalog.schema import migrate
from archiver.recovery.new_catalog import NewCatalog
from archiver.recovery.switching import next_path, offer
from receiver.roles import switcher as room
from receiver.roles.switcher import Switcher
from tests.clocks import NOON


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalog, and a parent that looks often."""
    monkeypatch.setattr(room, "_LOOK_SECONDS", 0.001)
    migrate(tmp_path / "catalog.db")
    return tmp_path / "catalog.db"


def rebuilt(path: Path) -> None:
    """A new catalog of nothing waits."""
    made = path.with_name("made.db")
    NewCatalog(made, now=NOON).finish()
    offer(made, path)


@asynccontextmanager
async def at_work(switcher: Switcher) -> AsyncIterator[None]:
    task = asyncio.create_task(switcher.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until_free(switcher: Switcher, path: Path) -> None:
    """Returns once nothing waits and roles may be started."""
    async with asyncio.timeout(20):
        while next_path(path).exists():
            await asyncio.sleep(0.001)
        await switcher.catalog_is_free.wait()


async def test_roles_are_ended_first_and_may_start_afterwards(path: Path) -> None:
    """While it is done nobody may start one."""
    free = []

    async def end_users() -> None:
        free.append(switcher.catalog_is_free.is_set())

    switcher = Switcher(path, end_users)
    inode = path.stat().st_ino
    rebuilt(path)
    with capture_logs() as lines:
        async with at_work(switcher):
            await until_free(switcher, path)
    assert free == [False]
    assert path.stat().st_ino != inode
    assert [line["event"] for line in lines] == ["the new catalog is in its place"]


async def test_whoever_else_uses_it_is_waited_for(path: Path) -> None:
    """A command that writes, or another service: it is said once, and roles of ours that were just
    being started are ended again."""
    ended = 0
    waited = asyncio.Event()

    async def end_users() -> None:
        nonlocal ended
        ended += 1
        if ended > 2:
            waited.set()

    other = Catalog(path)
    await other.start()
    rebuilt(path)
    switcher = Switcher(path, end_users)
    with capture_logs() as lines:
        async with at_work(switcher):
            await waited.wait()
            assert next_path(path).exists()
            await other.close()
            await until_free(switcher, path)
    assert [line["event"] for line in lines] == [
        "the new catalog waits: somebody uses the old one",
        "nobody uses it now",
        "the new catalog is in its place",
    ]


@pytest.mark.parametrize("content", [b"no database" * 1000, b""])
async def test_what_is_no_catalog_is_put_away(path: Path, content: bytes) -> None:
    """The service goes on with the catalog that it has, and says so once."""

    async def end_users() -> None:
        pass

    next_path(path).write_bytes(content)
    before = path.read_bytes()
    switcher = Switcher(path, end_users)
    with capture_logs() as lines:
        async with at_work(switcher):
            await until_free(switcher, path)
    assert path.read_bytes() == before
    assert path.with_name("catalog.db.refused").exists()
    (line,) = lines
    assert line["event"] == "the new catalog is refused"
