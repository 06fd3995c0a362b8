"""Whoever uses inboxes, where those of many nodes lie on one PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import receiver.commands.forget_bodies as forget_room
import receiver.inboxes as room
from archiver.catalog import Catalog, CatalogReader
from archiver.catalog.postgres_migrations import migrate
from archiver.errors import InboxUnavailableError
from archiver.gauges import BacklogGauges
from archiver.inbox.pruning import Pruner
from archiver.inbox.quarantine import Rejected
from archiver.inbox.quarantined import Kept
from archiver.inbox.stores import InboxStore
from archiver.models import DeliveryRef
from archiver.prunings import Pruning
from receiver.command_inbox import command_inbox
from receiver.commands.forget_bodies import take_out_bodies
from receiver.deliveries import NoSuchDeliveryError, log_of
from receiver.delivery_lines import DeliveryFilter
from receiver.inboxes import Inboxes
from receiver.roles.restored import owned as restored
from receiver.settings import Config
from receiver.stores import inboxes_of
from tests.archiver.postgres_server import PostgresServer, running
from tests.clocks import NOON, FrozenClock
from tests.contracts.inbox_store import heard, kept, owned
from tests.receiver.deliveries import record, webhook
from tests.receiver.roles_in_process import configuration


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running() as server:
        yield server


@pytest.fixture
def config(server: PostgresServer, tmp_path: Path) -> Config:
    """Of the node `here`, whose archive is empty."""
    url = server.new_database()
    migrate(url)
    return configuration(
        tmp_path,
        catalog={"url": url, "data_folder": str(tmp_path), "node": "here"},
    )


@pytest.fixture
def store(config: Config) -> InboxStore:
    return inboxes_of(config.catalog)


def there(config: Config) -> InboxStore:
    """As the node `there` sees the same inboxes."""
    return inboxes_of(config.catalog, node="there")


@pytest.fixture
async def catalog(config: Config) -> AsyncIterator[Catalog]:
    catalog = Catalog(config.catalog.where)
    await catalog.start()
    yield catalog
    await catalog.close()


@pytest.fixture
def reader(config: Config) -> Iterator[CatalogReader]:
    reader = CatalogReader(config.catalog.where)
    yield reader
    reader.close()


async def test_an_inbox_of_another_node_is_found_within_a_second(
    config: Config, store: InboxStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Absorb looks many times a second, and each look at the list is a connection of its own."""
    clock, asked = FrozenClock(NOON), []
    monkeypatch.setattr(room, "monotonic", lambda: clock().timestamp())
    names = store.names
    monkeypatch.setattr(store, "names", lambda: asked.append(clock()) or names())
    with closing(Inboxes(store)) as inboxes:
        assert inboxes.all() == []
        await heard(there(config), webhook("1"))
        assert inboxes.all() == []
        clock.advance(seconds=store.look_seconds)
        (inbox,) = inboxes.changed()
        assert len(asked) == 2
        await heard(store, webhook("2"), role="web")
        ref = kept(store, "web@here")[0].ref
        found = inboxes.get(ref)  # who asks for something is not kept waiting
        assert found is not None
        assert found.body == webhook("2").body
        assert inboxes.get(DeliveryRef(inbox=inbox.uuid, position=2)) is None


async def test_what_is_not_absorbed_is_counted_on_all_nodes(
    config: Config, store: InboxStore, catalog: Catalog, reader: CatalogReader
) -> None:
    """Each from the position reached in it; before the tables are there it is nothing."""

    def backlog() -> float:
        (family,) = BacklogGauges(reader, store).collect()
        return family.samples[0].value

    assert backlog() == 0
    await heard(store, webhook("1"), webhook("2"))
    await heard(there(config), webhook("3"))
    assert backlog() == 3
    ref = kept(store, "receive@here")[0].ref
    await catalog.write(lambda it: it.deliveries.advance(ref.inbox, ref.position))
    assert backlog() == 2


async def test_deliveries_go_by_role_and_node(
    config: Config, store: InboxStore, reader: CatalogReader
) -> None:
    """They are found by name, and leafed through page by page across nodes."""
    await heard(store, webhook("1"), webhook("2"))
    await heard(there(config), webhook("3"))
    with closing(log_of(reader, config.catalog)) as log:
        delivery, line = log.find("receive@there:1")
        assert (delivery.body, line.name) == (webhook("3").body, "receive@there:1")
        with pytest.raises(NoSuchDeliveryError, match=r"are receive@here, receive@there, quar"):
            log.find("receive:1")
        page, more = log.page(DeliveryFilter(), limit=2)
        rest, end = log.page(DeliveryFilter(), cursor=more, limit=2)
        assert {it.name for it in (*page, *rest)} == {
            "receive@here:1", "receive@here:2", "receive@there:1",
        }  # fmt: skip
        assert end is None


async def test_what_another_node_received_since_is_known(
    config: Config, store: InboxStore, reader: CatalogReader
) -> None:
    """A balancer sends a redelivery to whom it likes; a gateway's inbox alone says nothing."""
    rejected = Rejected(
        source="doitong", path_token="", received_at=NOON, peer="", reason="", headers=(),
        body=webhook("1").body,
    )  # fmt: skip
    refused = Kept(id=1, rejected=rejected, last_at=None, verified_by=None)
    with closing(log_of(reader, config.catalog)) as log:
        assert not log.was_pushed_since(refused)
    await heard(there(config), webhook("1"))
    with closing(log_of(reader, config.catalog)) as log:
        assert log.was_pushed_since(refused)
        assert not log.was_pushed_since(
            replace(refused, rejected=replace(rejected, body=webhook("2").body))
        )


async def test_commands_at_work_at_once_have_an_inbox_each(
    config: Config, store: InboxStore
) -> None:
    """And leave no more than that: the next one takes the first that is free."""
    async with command_inbox(config) as one, command_inbox(config) as other:
        await one.append(webhook("1"))
        await other.append(webhook("2"))
    async with command_inbox(config) as one:
        await one.append(webhook("3"))
    assert store.names() == ["command-2@here", "command@here"]
    assert [len(kept(store, name)) for name in store.names()] == [1, 2]


async def test_a_folder_where_no_lock_can_lie_is_told_of(config: Config) -> None:
    """It is the operator's to mend."""
    Path(config.catalog.data_folder, "command.lock").mkdir()
    with pytest.raises(InboxUnavailableError, match=r"catalog\.data_folder"):
        async with command_inbox(config):
            pass


async def ordered(catalog: Catalog, store: InboxStore, *names: str) -> list[Pruning]:
    """The first body of each of these inboxes, ordered out."""
    firsts = [kept(store, name)[0] for name in names]
    orders = [Pruning(inbox=it.ref.inbox, first=1, last=1) for it in firsts]
    for it in firsts:
        advance = partial(_advance, it.ref)
        await catalog.write(advance)
    await catalog.write(lambda tables: tables.prunings.order(orders, ready=True))
    return orders


def _advance(ref: DeliveryRef, tables: object) -> None:
    tables.deliveries.advance(ref.inbox, ref.position, received_at=NOON)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are waited for a second, and everything else is looked at again at once."""
    monkeypatch.setattr("archiver.postgres.LOCK_SECONDS", 1)
    monkeypatch.setattr("archiver.inbox.pruning.LOOK_SECONDS", 0.05)
    monkeypatch.setattr(forget_room, "_PAUSE_SECONDS", 0.02)


@pytest.mark.usefixtures("impatient")
async def test_bodies_are_taken_out_on_nodes_that_are_no_more(
    config: Config, store: InboxStore, catalog: Catalog, reader: CatalogReader
) -> None:
    """In their place, for nobody else will; who runs does it itself, on whichever node."""
    for number, (node, role) in enumerate(((store, "receive"), (there(config), "command-2"))):
        await heard(node, webhook(str(number)), role=role)
    await heard(there(config), webhook("3"), role="web")
    names = ("receive@here", "command-2@there", "web@there")
    wanted = await ordered(catalog, store, *names)
    async with owned(there(config), "web") as web, AsyncExitStack() as stack:
        pruner = Pruner(inbox=web, orders=partial(there(config).orders, "web"))
        await stack.enter_async_context(pruner.at_work())
        assert await take_out_bodies(config, catalog, reader, wanted) == 0
    assert [kept(store, name)[0].body for name in names] == [None] * 3
    assert await reader.read(lambda tables: tables.prunings.ready()) == []


@pytest.mark.usefixtures("impatient")
async def test_the_inbox_of_who_runs_is_written_by_nobody_else(
    config: Config,
    store: InboxStore,
    catalog: Catalog,
    reader: CatalogReader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its orders are left to it, and it goes on as if nobody had asked."""
    monkeypatch.setattr(forget_room, "_PATIENCE_SECONDS", 0)
    async with owned(store) as inbox:
        await inbox.append(webhook("1"))
        wanted = await ordered(catalog, store, "receive@here")
        assert await take_out_bodies(config, catalog, reader, wanted) == 1
        await inbox.append(webhook("2"))
    assert [it.body for it in kept(store, "receive@here")] == [
        webhook("1").body,
        webhook("2").body,
    ]


async def test_restored_files_are_nobodys_where_there_is_a_server(
    config: Config, store: InboxStore
) -> None:
    """They are those of an archive that was there before."""
    path = config.catalog.inbox_folder / "receive.20261121T221000Z.db"
    await record(path, webhook("1"))
    async with restored(config.catalog):
        await asyncio.sleep(0)
    assert store.names() == []
