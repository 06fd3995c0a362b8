"""Bodies are taken out of an inbox file; what any owner does is in `contracts.inbox_store`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from archiver.catalog.schema import migrate
from archiver.inbox.pruning import Pruner
from archiver.inbox.stores import InboxStore
from archiver.prunings import ordered
from tests.archiver.disks import locked
from tests.contracts.inbox import WEBHOOK
from tests.contracts.inbox_store import ROLE, Place, kept, order, owned

SECRET = b"a secret that is long enough to lie in pages of its own " * 200


@pytest.fixture
def place(tmp_path: Path) -> Place:
    path = tmp_path / "catalog.db"
    migrate(path)
    return Place(where=path, folder=tmp_path / "inbox", migrate=lambda: None)


@pytest.fixture
def store(place: Place) -> InboxStore:
    return place.store()


@pytest.fixture
async def pruner(store: InboxStore) -> AsyncIterator[Pruner]:
    async with owned(store) as inbox:
        for number in range(5):
            await inbox.append(replace(WEBHOOK, body=b"%d " % number + SECRET))
        yield Pruner(inbox=inbox, orders=partial(store.orders, ROLE))


async def test_what_is_pruned_is_in_no_file(pruner: Pruner, place: Place) -> None:
    """Neither in free pages of the database nor in its log."""
    await order(place, ROLE, (1, 5), upto=5)
    await pruner.step()
    files = [file for file in place.folder.iterdir() if SECRET[:50] in file.read_bytes()]
    assert files == []


async def test_a_full_disk_keeps_nobody_from_pruning(
    pruner: Pruner, place: Place, store: InboxStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what makes room."""
    monkeypatch.setattr(pruner.inbox, "_min_free_bytes", 1 << 62)
    await order(place, ROLE, (1, 5), upto=5)
    assert await pruner.step() == 1
    assert {it.body for it in kept(store, ROLE)} == {None}


async def test_orders_wait_while_anything_fails(pruner: Pruner, place: Place) -> None:
    """Without a catalog there are none; what a locked inbox refused is done the next time."""
    assert ordered(place.folder / "none.db", "any", lambda *_: True) == ()
    await order(place, ROLE, (1, 5), upto=5)
    with locked(place.folder / "receive.db"), pytest.MonkeyPatch.context() as patched:
        patched.setattr("archiver.inbox.sqlite.BUSY_SECONDS", 0.01)
        with pytest.raises(Exception, match="cannot commit"):
            await pruner.step()
    assert await pruner.step() == 1
