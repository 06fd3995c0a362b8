"""How `holdfast forget` gets bodies out of the inboxes, each by the one who may write it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import partial

from archiver import clock
from archiver.catalog import Catalog, CatalogReader
from archiver.errors import ConfigError, InboxUnavailableError
from archiver.inbox.pruning import LOOK_SECONDS, Pruner
from archiver.inbox.stores import NODE_SIGN, InboxStore
from archiver.prunings import Pruning
from archiver.retention import Retention
from receiver.inboxes import Inboxes
from receiver.roles.premises import take
from receiver.roles.supervisor import ROLES
from receiver.settings import Config
from receiver.stores import inboxes_of

# A running role looks for orders far more often.
_PATIENCE_SECONDS = 4 * LOOK_SECONDS
_PAUSE_SECONDS = 0.5


async def take_out_bodies(
    config: Config, catalog: Catalog, reader: CatalogReader, wanted: Sequence[Pruning]
) -> int:
    """Has the wanted bodies taken out as ordered; how many that can go are still there.

    A running role does it to its own inbox; those of roles that do not run are written here.
    """
    retention, store = Retention(catalog=catalog, reader=reader), inboxes_of(config.catalog)
    with closing(Inboxes(store)) as inboxes:
        await retention.settle(inboxes.all(), now=clock.now())
        if config.catalog.is_on_server:
            await asyncio.gather(*(_as_owner(config, name) for name in store.names()))
        else:
            for name in store.names():
                await _beside_owner(config, store, name)
        gives_up_at = clock.monotonic() + _PATIENCE_SECONDS
        while True:
            await retention.settle(inboxes.all(), now=clock.now())
            left = set(wanted) & set(await reader.read(lambda tables: tables.prunings.ready()))
            if not left or clock.monotonic() > gives_up_at:
                return len(left)
            await asyncio.sleep(_PAUSE_SECONDS)


async def _beside_owner(config: Config, store: InboxStore, name: str) -> None:
    """From a file whose owner does not run, if it is no command's anyway."""
    if name not in ROLES:
        await _take_out(store, name)
        return
    try:
        lock = take(config.catalog.folder, name)
    except ConfigError:
        return
    with closing(lock):
        await _take_out(store, name)


async def _as_owner(config: Config, name: str) -> None:
    """In the place of a process that does not run, on whichever node: the server lets nobody have
    the inbox of one that does, and that one carries the orders out itself."""
    role, _, node = name.partition(NODE_SIGN)
    store = inboxes_of(config.catalog, node=node)
    with suppress(InboxUnavailableError):
        if await asyncio.to_thread(store.orders, role):
            await _take_out(store, role)


async def _take_out(store: InboxStore, role: str) -> None:
    inbox = store.writer(role)
    await inbox.start()
    try:
        await Pruner(inbox=inbox, orders=partial(store.orders, role)).step()
    finally:
        await inbox.close()
