"""Leafing through an inbox: everything but the bodies, the newest first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from archiver.errors import InboxUnavailableError
from archiver.inbox import NewDelivery
from archiver.inbox.leafing import InboxLeaves
from archiver.inbox.sqlite import SqliteInbox, SqliteInboxReader
from archiver.models import Heard
from archiver.sqlite import open_writer
from tests.clocks import NOON

DELIVERY = NewDelivery(
    source="doitong", heard=Heard.PUSHED, received_at=NOON, verified_by="2026-11", body=b"{}"
)
BODIES = [b"x" * size for size in range(1, 8)]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """An inbox of seven deliveries."""
    path = tmp_path / "inbox" / "receive.db"
    inbox = SqliteInbox(path)
    await inbox.start()
    for body in BODIES:
        await inbox.append(replace(DELIVERY, body=body))
    await inbox.close()
    return path


def test_an_inbox_is_leafed_through_from_its_end(path: Path) -> None:
    """Page by page, each delivery once, with its size; by position the same."""
    leaves = InboxLeaves(path)
    assert (leaves.name, leaves.newest()) == ("receive", 7)
    pages, below = [], leaves.newest() + 1
    while page := leaves.before(below, limit=3):
        pages.append(page)
        below = page[-1].position
    assert [[leaf.position for leaf in page] for page in pages] == [[7, 6, 5], [4, 3, 2], [1]]
    assert [leaf.size_bytes for page in pages for leaf in page] == [7, 6, 5, 4, 3, 2, 1]
    assert [leaf.position for leaf in leaves.at([2, 9, 5])] == [5, 2]
    assert leaves.uuid == SqliteInboxReader(path).uuid
    leaves.close()


def test_what_was_pushed_is_known_again(path: Path) -> None:
    """By the very key by which the inbox tells a duplicate."""
    leaves = InboxLeaves(path)
    assert leaves.knows("doitong", "", b"xxx")
    assert not leaves.knows("doitong", "", b"another")
    assert not leaves.knows("modelslab", "", b"xxx")
    assert not leaves.knows("doitong", "token", b"xxx")
    leaves.close()


def test_a_pruned_body_has_no_size(path: Path) -> None:
    """Which tells it from an empty one."""
    writer = open_writer(path)
    writer.execute("UPDATE deliveries SET body = NULL WHERE position = 3")
    writer.close()
    leaves = InboxLeaves(path)
    assert [leaf.size_bytes for leaf in leaves.at([3])] == [None]
    leaves.close()


@pytest.mark.parametrize("content", [b"no database" * 1000, b""])
def test_what_is_no_inbox_says_so(tmp_path: Path, content: bytes) -> None:
    """With the path, for whoever has to look at its disk."""
    path = tmp_path / "web.db"
    path.write_bytes(content)
    with pytest.raises(InboxUnavailableError, match=r"web\.db"):
        InboxLeaves(path)
