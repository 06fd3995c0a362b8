"""Bodies are taken out of an inbox by its owner, as ordered, and by nobody else's leave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from archiver.catalog.schema import migrate
from archiver.inbox import Recorded
from archiver.inbox.pruning import Pruner
from archiver.inbox.sqlite import SqliteInbox, SqliteInboxReader
from archiver.models import Delivery
from archiver.prunings import Pruning, Prunings, ordered
from archiver.sqlite import open_writer
from tests.archiver.disks import locked
from tests.contracts.inbox import WEBHOOK

SECRET = b"a secret that is long enough to lie in pages of its own " * 200


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox" / "receive.db"


@pytest.fixture
async def inbox(path: Path) -> AsyncIterator[SqliteInbox]:
    inbox = SqliteInbox(path)
    await inbox.start()
    for number in range(5):
        await inbox.append(replace(WEBHOOK, body=b"%d " % number + SECRET))
    yield inbox
    await inbox.close()


@pytest.fixture
def pruner(inbox: SqliteInbox, path: Path, tmp_path: Path) -> Pruner:
    migrate(tmp_path / "catalog.db")
    return Pruner(inbox=inbox, path=path, catalog=tmp_path / "catalog.db")


def deliveries(path: Path) -> list[Delivery]:
    reader = SqliteInboxReader(path)
    try:
        return [*reader.after(0, limit=100)]
    finally:
        reader.close()


def order(pruner: Pruner, *spans: tuple[int, int], ready: bool = True) -> None:
    """Has the archive order bodies out."""
    (inbox,) = {delivery.ref.inbox for delivery in deliveries(pruner.path)}
    connection = open_writer(pruner.catalog)
    prunings = [Pruning(inbox=inbox, first=first, last=last) for first, last in spans]
    Prunings(connection).order(prunings, ready=ready)
    connection.execute("INSERT OR IGNORE INTO inbox_positions VALUES (?, 1, NULL)", (inbox,))
    connection.close()


async def test_what_is_ordered_is_taken_out(
    pruner: Pruner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bodies and headers go, and all else stays; in however many portions."""
    monkeypatch.setattr("archiver.inbox.pruning._PORTION", 2)
    before = deliveries(pruner.path)
    order(pruner, (1, 3), (5, 5))
    order(pruner, (4, 4), ready=False)
    assert await pruner.step() == 2
    after = deliveries(pruner.path)
    assert [it.body is None for it in after] == [True, True, True, False, True]
    assert [it.headers for it in after if it.body is None] == [()] * 4
    assert [(it.ref, it.received_at, it.peer) for it in after] == [
        (it.ref, it.received_at, it.peer) for it in before
    ]
    assert await pruner.step() == 0


async def test_what_is_pruned_is_still_known(pruner: Pruner) -> None:
    """A redelivery is a duplicate for ever."""
    order(pruner, (1, 5))
    await pruner.step()
    assert await pruner.inbox.append(replace(WEBHOOK, body=b"0 " + SECRET)) is Recorded.DUPLICATE
    assert len(deliveries(pruner.path)) == 5


async def test_what_is_pruned_is_in_no_file(pruner: Pruner) -> None:
    """Neither in free pages of the database nor in its log."""
    order(pruner, (1, 5))
    await pruner.step()
    files = [file for file in pruner.path.parent.iterdir() if SECRET[:50] in file.read_bytes()]
    assert files == []


async def test_a_full_disk_keeps_nobody_from_pruning(
    pruner: Pruner, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what makes room."""
    monkeypatch.setattr(pruner.inbox, "_min_free_bytes", 1 << 62)
    order(pruner, (1, 5))
    assert await pruner.step() == 1
    assert {it.body for it in deliveries(path)} == {None}


async def test_orders_wait_while_anything_fails(pruner: Pruner) -> None:
    """Without a catalog there are none; what a locked inbox refused is done the next time."""
    assert ordered(pruner.catalog.with_name("none.db"), "any", lambda *_: True) == ()
    order(pruner, (1, 5))
    with locked(pruner.path), pytest.MonkeyPatch.context() as patched:
        patched.setattr("archiver.inbox.sqlite.BUSY_SECONDS", 0.01)
        with pytest.raises(Exception, match="cannot commit"):
            await pruner.step()
    assert await pruner.step() == 1


async def test_an_order_for_another_inbox_of_that_name_is_not_carried_out(
    pruner: Pruner, path: Path
) -> None:
    """An older copy that was put back holds at those positions what nobody has absorbed."""
    order(pruner, (1, 3))
    connection = open_writer(pruner.catalog)
    connection.execute("UPDATE inbox_positions SET received_at = 1")
    connection.close()
    await pruner.step()
    assert all(delivery.body for delivery in deliveries(path))


async def test_an_order_that_was_struck_off_is_forgotten(pruner: Pruner) -> None:
    """What is remembered of done orders does not grow for ever."""
    order(pruner, (1, 1))
    await pruner.step()
    assert len(pruner.done) == 1
    connection = open_writer(pruner.catalog)
    connection.execute("DELETE FROM prunings")
    connection.close()
    await pruner.step()
    assert pruner.done == set()
