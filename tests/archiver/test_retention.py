"""Bodies go once they are absorbed and old, and nothing in them is needed any more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import retention as room
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.inbox.sqlite import SqliteInbox, SqliteInboxReader
from archiver.ledger import keep
from archiver.merging import merge
from archiver.models import DeliveryRef
from archiver.prunings import Pruning
from archiver.retention import Retention, ranges
from tests.archiver.generated import succeeded
from tests.archiver.heard import LINK_LIFETIME
from tests.clocks import NOON
from tests.contracts.inbox import webhook

OLD = NOON - timedelta(days=40)
BEFORE = NOON - timedelta(days=30)


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[SqliteInboxReader]:
    """Six deliveries, of which the last two are young."""
    writer = SqliteInbox(tmp_path / "inbox" / "receive.db")
    await writer.start()
    for number in range(6):
        at = OLD if number < 4 else NOON
        await writer.append(replace(webhook(number), received_at=at))
    reader = SqliteInboxReader(tmp_path / "inbox" / "receive.db")
    yield reader
    reader.close()
    await writer.close()


@pytest.fixture
def retention(catalog: Catalog, reader: CatalogReader) -> Retention:
    return Retention(catalog=catalog, reader=reader)


async def absorbed(retention: Retention, inbox: SqliteInboxReader, position: int) -> None:
    """So far the archive has come."""
    last = inbox.get(position)
    assert last is not None
    await retention.catalog.write(
        lambda tables: tables.deliveries.advance(inbox.uuid, position, received_at=last.received_at)
    )


async def orders(retention: Retention) -> list[tuple[int, int]]:
    ready = await retention.reader.read(lambda tables: tables.prunings.ready())
    return [(it.first, it.last) for it in ready]


async def prune(retention: Retention, inbox: SqliteInboxReader) -> int:
    return await retention.order([inbox], before=BEFORE, now=NOON)


def link(tables: Tables, inbox: str, position: int, url: str) -> None:
    """The delivery at that position has said where a picture is, which is not archived yet."""
    name = f"at {position}"
    after = merge(
        None,
        succeeded(name, url),
        heard_in=DeliveryRef(inbox=inbox, position=position),
        received_at=OLD,
        link_lifetime=LINK_LIFETIME,
    )
    kept = keep(tables, None, after, now=OLD)
    tables.connection.execute(
        "INSERT INTO observations VALUES (?,?,?,'pushed','succeeded',0)",
        (inbox, position, kept.key),
    )


@pytest.mark.parametrize("portion", [1000, 2, 1])
async def test_old_bodies_go_once_they_are_absorbed(
    retention: Retention,
    inbox: SqliteInboxReader,
    portion: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What nobody has absorbed is kept, however old; and what is young, however long absorbed."""
    monkeypatch.setattr(room, "_PORTION", portion)
    assert await prune(retention, inbox) == 0
    await absorbed(retention, inbox, 3)
    await prune(retention, inbox)
    covered = [n for first, last in await orders(retention) for n in range(first, last + 1)]
    assert covered == [1, 2, 3]
    await absorbed(retention, inbox, 6)
    await prune(retention, inbox)
    covered = [n for first, last in await orders(retention) for n in range(first, last + 1)]
    assert sorted({*covered}) == [1, 2, 3, 4]


async def test_of_an_older_copy_nothing_is_ordered_out(
    retention: Retention, inbox: SqliteInboxReader
) -> None:
    """Somebody has put it back, and what was told since has the positions of what is absorbed:
    nobody has absorbed that yet, however old it is."""
    await retention.catalog.write(
        lambda tables: tables.deliveries.advance(
            inbox.uuid, 4, received_at=OLD - timedelta(seconds=1)
        )
    )
    assert (await prune(retention, inbox), await orders(retention)) == (0, [])


async def test_a_link_that_lives_keeps_its_body(
    retention: Retention, inbox: SqliteInboxReader
) -> None:
    """The full URL is nowhere else; one that is dead by its own word keeps nothing."""
    await absorbed(retention, inbox, 6)
    alive = "https://cdn.doitong.com/1.png?Expires=1795280400&Signature=hush"
    dead = alive.replace("1795280400", str(int(OLD.timestamp())))
    await retention.catalog.write(lambda tables: link(tables, inbox.uuid, 2, alive))
    await retention.catalog.write(lambda tables: link(tables, inbox.uuid, 3, dead))
    assert await prune(retention, inbox) == 2
    assert await orders(retention) == [(1, 1), (3, 4)]


async def test_what_nobody_has_understood_is_kept(
    retention: Retention, inbox: SqliteInboxReader
) -> None:
    """However old: once a parser is mended it can be read again."""
    await absorbed(retention, inbox, 6)
    odd = inbox.get(2)
    assert odd is not None
    await retention.catalog.write(lambda tables: tables.deliveries.unparsed(odd, "gibberish"))
    await prune(retention, inbox)
    assert await orders(retention) == [(1, 1), (3, 4)]


async def test_an_order_waits_for_what_is_needed(
    retention: Retention, inbox: SqliteInboxReader
) -> None:
    """What was ordered to be forgotten, and holds another's link, goes once that is dead."""
    alive = "https://cdn.doitong.com/1.png?Expires=1795280400&Signature=hush"
    one, other = (Pruning(inbox=inbox.uuid, first=at, last=at) for at in (1, 2))

    def wait(tables: Tables) -> None:
        link(tables, inbox.uuid, 1, alive)
        tables.prunings.order([one, other], ready=False)

    await retention.catalog.write(wait)
    assert await retention.settle([inbox], now=NOON) == 2
    assert await orders(retention) == [(2, 2)]
    await retention.settle([inbox], now=NOON + timedelta(days=1))
    assert await orders(retention) == [(1, 1), (2, 2)]


async def test_an_order_is_struck_off_once_it_is_done(
    retention: Retention, inbox: SqliteInboxReader, tmp_path: Path
) -> None:
    """And not while its inbox cannot be looked into."""
    order = Pruning(inbox=inbox.uuid, first=1, last=2)
    await retention.catalog.write(lambda tables: tables.prunings.order([order], ready=True))
    assert await retention.settle([inbox], now=NOON) == 1
    owner = SqliteInbox(tmp_path / "inbox" / "receive.db")
    await owner.start()
    await owner.prune(1, 1)
    assert await retention.settle([inbox], now=NOON) == 1
    await owner.prune(2, 2)
    assert await retention.settle([], now=NOON) == 1
    assert await retention.settle([inbox], now=NOON) == 0
    await owner.close()


@given(st.sets(st.integers(1, 40)))
def test_ranges_are_the_same_positions(positions: set[int]) -> None:
    """Each once, and no two ranges that could be one."""
    found = list(ranges(sorted(positions)))
    assert [n for first, last in found for n in range(first, last + 1)] == sorted(positions)
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(found))
