"""How `holdfast forget` gets bodies out of the inboxes, each by the one who may write it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from archiver import clock
from archiver.catalog import Catalog, CatalogReader
from archiver.errors import ConfigError
from archiver.inbox.pruning import LOOK_SECONDS, Pruner
from archiver.inbox.sqlite import SqliteInbox, inbox_files
from archiver.prunings import Pruning
from archiver.retention import Retention
from receiver.inboxes import Inboxes
from receiver.roles.premises import take
from receiver.roles.supervisor import ROLES
from receiver.settings import Config

# A running role looks for orders far more often.
_PATIENCE_SECONDS = 4 * LOOK_SECONDS
_PAUSE_SECONDS = 0.5


async def take_out_bodies(
    config: Config, catalog: Catalog, reader: CatalogReader, wanted: Sequence[Pruning]
) -> int:
    """Has the wanted bodies taken out as ordered; how many that can go are still there.

    A running role does it to its own inbox; those of roles that do not run are written here.
    """
    retention, folder = Retention(catalog=catalog, reader=reader), config.catalog.inbox_folder
    with closing(Inboxes(folder)) as inboxes:
        await retention.settle(inboxes.all(), now=clock.now())
        for path in inbox_files(folder):
            await _take_out(config, path)
        gives_up_at = clock.monotonic() + _PATIENCE_SECONDS
        while True:
            await retention.settle(inboxes.all(), now=clock.now())
            left = set(wanted) & set(await reader.read(lambda tables: tables.prunings.ready()))
            if not left or clock.monotonic() > gives_up_at:
                return len(left)
            await asyncio.sleep(_PAUSE_SECONDS)


async def _take_out(config: Config, path: Path) -> None:
    """From an inbox whose owner does not run, if it is no command's anyway."""
    if path.stem in ROLES:
        try:
            lock = take(config.catalog.folder, path.stem)
        except ConfigError:
            return
    else:
        lock = None
    inbox = SqliteInbox(path)
    await inbox.start()
    try:
        await Pruner(inbox=inbox, path=path, catalog=config.catalog.path).step()
    finally:
        await inbox.close()
        if lock is not None:
            lock.close()
