"""What every store of inboxes promises: to leaf, to add up, to order out and to carry that out.

A store's test class inherits `InboxStoreContract` and overrides the fixture `place`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from archiver.catalog import Catalog, Tables
from archiver.errors import InboxUnavailableError
from archiver.inbox import NewDelivery, OwnedInbox
from archiver.inbox.lately import lately
from archiver.inbox.pruning import Pruner
from archiver.inbox.stores import InboxStore, inbox_store, role_of
from archiver.inbox.tallies import Tally
from archiver.models import Delivery, Heard
from archiver.prunings import Pruning
from tests.clocks import NOON
from tests.contracts.inbox import DUPLICATE, MANY, ODD, WEBHOOK

DAY = timedelta(days=1)
ROLE = "receive"
SIZES = range(1, 8)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an archive's catalog and inboxes lie; neither is there yet."""

    where: Path | str
    folder: Path
    migrate: Callable[[], None]

    def store(self, node: str = "here") -> InboxStore:
        """As a node sees it."""
        return inbox_store(self.where, folder=self.folder, node=node)


@asynccontextmanager
async def owned(store: InboxStore, role: str = ROLE) -> AsyncIterator[OwnedInbox]:
    """A role's inbox, in the hands of its process."""
    inbox = store.writer(role)
    await inbox.start()
    try:
        yield inbox
    finally:
        await inbox.close()


async def heard(store: InboxStore, *deliveries: NewDelivery, role: str = ROLE) -> str:
    """Appends to a role's inbox, which is let go; what the store calls it."""
    before = store.names()
    async with owned(store, role) as inbox:
        for delivery in deliveries:
            await inbox.append(delivery)
    new = [name for name in store.names() if name not in before]
    return (new or [name for name in before if role_of(name) == role])[0]


def ago(hours: float, body: str, **said: object) -> NewDelivery:
    """A webhook of so many hours before noon."""
    received_at = NOON - timedelta(hours=hours)
    return replace(WEBHOOK, body=body.encode(), received_at=received_at, **said)


def kept(store: InboxStore, name: str) -> list[Delivery]:
    """All that an inbox holds."""
    with closing(store.reader(name)) as reader:
        return [*reader.after(0, limit=MANY)]


async def write(place: Place, work: Callable[[Tables], None]) -> None:
    """As the archive writes its catalog."""
    catalog = Catalog(place.where)
    await catalog.start()
    try:
        await catalog.write(work)
    finally:
        await catalog.close()


async def order(
    place: Place, name: str, *spans: tuple[int, int], upto: int = 7, ready: bool = True
) -> list[Pruning]:
    """Has the archive, which has absorbed all up to a position, order bodies out."""
    last = kept(place.store(), name)[upto - 1]
    inbox = last.ref.inbox
    orders = [Pruning(inbox=inbox, first=first, last=last) for first, last in spans]

    def work(tables: Tables) -> None:
        tables.prunings.order(orders, ready=ready)
        tables.deliveries.advance(inbox, last.ref.position, received_at=last.received_at)

    await write(place, work)
    return orders


class InboxStoreContract:
    """The suite; each test is one promise of `archiver.inbox.stores`."""

    @pytest.fixture
    def place(self) -> Place:
        """The archive whose inboxes are tested."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, place: Place) -> InboxStore:
        """Its inboxes."""
        return place.store()

    @pytest.fixture
    async def name(self, store: InboxStore) -> str:
        """An inbox of seven deliveries, each longer than the one before."""
        return await heard(store, *(replace(WEBHOOK, body=b"x" * size) for size in SIZES))

    async def test_an_inbox_is_there_once_its_owner_has_begun(self, store: InboxStore) -> None:
        """By the same name for all who ask."""
        assert store.names() == []
        await heard(store, WEBHOOK)
        await heard(store, role="web")
        names = store.names()
        assert [role_of(name) for name in names] == ["receive", "web"]
        with closing(store.leaves(names[0])) as leaves, closing(store.reader(names[0])) as reader:
            assert (leaves.name, leaves.uuid) == (names[0], reader.uuid)
            assert reader.uuid == kept(store, names[0])[0].ref.inbox

    async def test_what_is_not_there_says_so(self, store: InboxStore, name: str) -> None:
        """Whatever it is asked for."""
        none = name.replace("receive", "nobody")
        questions = (
            lambda: store.reader(none),
            lambda: store.leaves(none),
            lambda: store.added_up(none, since=NOON, reached=lambda _: 0, rows=1),
            lambda: store.orders("nobody"),
        )
        for question in questions:
            with pytest.raises(InboxUnavailableError, match="nobody"):
                question()

    async def test_an_inbox_is_leafed_through_from_its_end(
        self, store: InboxStore, name: str
    ) -> None:
        """Page by page, each delivery once, with its size; by position the same."""
        await heard(store, ago(1, "of another"), role="web")
        with closing(store.leaves(name)) as leaves:
            pages, below = [], leaves.newest() + 1
            while page := leaves.before(below, limit=3):
                pages.append(page)
                below = page[-1].position
            assert [[it.position for it in page] for page in pages] == [[7, 6, 5], [4, 3, 2], [1]]
            assert [it.size_bytes for page in pages for it in page] == [7, 6, 5, 4, 3, 2, 1]
            assert [it.position for it in leaves.at([1, 9, 5])] == [5, 1]
            assert leaves.at([]) == []

    async def test_an_inbox_without_deliveries_has_no_leaves(self, store: InboxStore) -> None:
        """And no newest."""
        with closing(store.leaves(await heard(store))) as leaves:
            assert (leaves.newest(), leaves.before(MANY, limit=3)) == (0, [])

    @pytest.mark.parametrize("odd", ODD)
    async def test_a_leaf_says_what_was_heard(self, store: InboxStore, odd: str) -> None:
        """In strangers' own words, as the sums do."""
        said = ODD[odd]
        name = await heard(store, said)
        with closing(store.leaves(name)) as leaves:
            (leaf,) = leaves.before(MANY, limit=9)
        for field in ("source", "heard", "received_at", "peer", "verified_by"):
            assert getattr(leaf, field) == getattr(said, field)
        assert leaf.size_bytes == len(said.body)
        (tally,) = lately(store, since=NOON, reached=lambda _: 0).found
        assert (tally.source, tally.last_at) == (said.source, said.received_at)

    async def test_what_was_pushed_is_known_again(self, store: InboxStore, name: str) -> None:
        """By the very key by which the inbox tells a duplicate."""
        await heard(store, ODD["text of every script"])
        await heard(store, replace(WEBHOOK, heard=Heard.POLLED, body=b"asked for"))
        with closing(store.leaves(name)) as leaves:
            assert leaves.knows("doitong", "", b"xxx")
            assert leaves.knows("数", "Ünï/码 🐱", WEBHOOK.body)
            assert not leaves.knows("doitong", "", b"another")
            assert not leaves.knows("modelslab", "", b"xxx")
            assert not leaves.knows("doitong", "token", b"xxx")
            assert not leaves.knows("doitong", "", b"asked for")

    async def test_deliveries_are_added_up(self, store: InboxStore) -> None:
        """By source, way and label; `daily` is of the day before the last of a source and way."""
        await heard(
            store,
            ago(50, "too old"),
            ago(26, "old", verified_by="older"),
            ago(3, "one"),
            ago(2, "two"),
            ago(1, "asked", heard=Heard.POLLED, verified_by="poll"),
        )
        found = lately(store, since=NOON - DAY, reached=lambda _: 3)
        common = {"source": "doitong", "heard": Heard.PUSHED, "last_at": NOON - timedelta(hours=2)}
        assert (found.exact, found.backlog, found.unreadable) == (True, 2, [])
        assert found.found == [
            Tally(
                source="doitong",
                heard=Heard.POLLED,
                verified_by="poll",
                count=1,
                waiting=1,
                daily=1,
                last_at=NOON - timedelta(hours=1),
            ),
            Tally(**common, verified_by="2026-11", count=2, waiting=1, daily=2),
            Tally(
                **{**common, "last_at": NOON - timedelta(hours=26)},
                verified_by="older",
                count=0,
                waiting=0,
                daily=0,
            ),
        ]

    async def test_each_inbox_is_added_up_from_where_it_is_absorbed(
        self, store: InboxStore, name: str
    ) -> None:
        """And what lies in one is not counted with another."""
        await heard(store, ago(1, "a"), ago(1, "b"), role="web")
        upto = zip(store.names(), (5, 1), strict=True)
        reached = {kept(store, it)[0].ref.inbox: position for it, position in upto}
        found = lately(store, since=NOON - DAY, reached=reached.__getitem__)
        assert [(it.count, it.waiting) for it in found.found] == [(7, 2), (2, 1)]
        assert found.backlog == 3

    async def test_no_more_than_the_newest_are_looked_at(
        self, store: InboxStore, name: str
    ) -> None:
        """And that it may have been more is said; the backlog is all of it."""
        few = lately(store, since=NOON - DAY, reached=lambda _: 0, rows=7)
        all_of_them = lately(store, since=NOON - DAY, reached=lambda _: 0, rows=8)
        fewer = lately(store, since=NOON - DAY, reached=lambda _: 0, rows=2)
        assert (few.exact, all_of_them.exact) == (False, True)
        assert ([it.count for it in fewer.found], fewer.backlog) == ([2], 7)

    async def test_what_is_ordered_is_told_to_the_owner(
        self, place: Place, store: InboxStore, name: str
    ) -> None:
        """Once the catalog is there, of its own inbox, and what is ready."""
        assert store.orders(ROLE) == set()
        place.migrate()
        assert store.orders(ROLE) == set()
        other = await heard(store, ago(1, "of another"), role="web")
        orders = await order(place, name, (1, 3), (5, 5))
        await order(place, name, (4, 4), ready=False)
        others = await order(place, other, (1, 1), upto=1)
        assert store.orders(ROLE) == set(orders)
        assert store.orders("web") == set(others)

    async def test_an_order_for_another_inbox_of_that_name_is_none(
        self, place: Place, store: InboxStore, name: str
    ) -> None:
        """An older copy that was put back holds at those positions what nobody has absorbed."""
        place.migrate()
        (ordered,) = await order(place, name, (1, 3))
        assert store.orders(ROLE) == {ordered}
        changed = "UPDATE inbox_positions SET received_at = 1 WHERE inbox = ?"
        await write(place, lambda it: it.connection.execute(changed, (ordered.inbox,)))
        assert store.orders(ROLE) == set()

    async def test_what_is_ordered_is_taken_out(
        self, place: Place, store: InboxStore, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Bodies and headers go, and all else stays; in however many portions, and once."""
        monkeypatch.setattr("archiver.inbox.pruning._PORTION", 2)
        place.migrate()
        other = await heard(store, ago(1, "of another"), role="web")
        before = kept(store, name)
        await order(place, name, (1, 3), (5, 5))
        async with owned(store) as inbox:
            pruner = Pruner(inbox=inbox, orders=partial(store.orders, ROLE))
            assert [await pruner.step(), await pruner.step()] == [2, 0]
            assert await inbox.append(replace(WEBHOOK, body=b"x")) is DUPLICATE
        after = kept(store, name)
        assert [it.body is None for it in after] == [True] * 3 + [False, True, False, False]
        assert [it.headers for it in after if it.body is None] == [()] * 4
        assert [(it.ref, it.received_at, it.peer) for it in after] == [
            (it.ref, it.received_at, it.peer) for it in before
        ]
        with closing(store.leaves(name)) as leaves, closing(store.reader(name)) as reader:
            assert [it.size_bytes for it in leaves.at([4, 3])] == [4, None]
            assert leaves.knows("doitong", "", b"xxx")
            assert (reader.has_bodies(1, 3), reader.has_bodies(1, 4)) == (False, True)
        assert [it.body for it in kept(store, other)] == [b"of another"]

    async def test_an_order_that_was_struck_off_is_forgotten(
        self, place: Place, store: InboxStore, name: str
    ) -> None:
        """What is remembered of done orders does not grow for ever."""
        place.migrate()
        (ordered,) = await order(place, name, (1, 1))
        async with owned(store) as inbox:
            pruner = Pruner(inbox=inbox, orders=partial(store.orders, ROLE))
            await pruner.step()
            assert pruner.done == {ordered}
            await write(place, lambda tables: tables.prunings.done(ordered))
            await pruner.step()
            assert pruner.done == set()
