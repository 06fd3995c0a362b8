"""Backups on a timer: due so long after the last one, whoever took it; tried again if need be."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from archiver import clock
from archiver.blobs import BlobStore
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.deliveries import BACKUP
from archiver.errors import BackupError, BucketError, CatalogUnavailableError
from archiver.log import logger
from archiver.recovery.backup import Backup, backups
from archiver.recovery.backup_index import BackupIndex, next_at
from receiver.roles.upkeep import index_is_lost
from receiver.settings import Config

# Whoever has set the clock or typed a backup by hand is noticed after this long.
LOOK_SECONDS = 3600.0
RETRY_SECONDS = 600.0


async def back_up(
    config: Config, blobs: BlobStore, catalog: Catalog, reader: CatalogReader
) -> None:
    """Takes a backup whenever one is due, and removes those beyond `backup.keep`; for ever.

    A catalog on a server is its own operator's to back up.
    """
    every = backup_every(config)
    while every:
        try:
            wait_seconds = await _seconds_until_due(blobs, reader, every)
            if wait_seconds <= 0:
                backup = backup_of(config, blobs)
                index, removed = await take(backup, catalog, reader, config.backup.keep)
                stored = {"files": len(index.files), "stored_bytes": index.stored_bytes}
                logger().info("backed up", **stored, removed=removed)
        except (BackupError, BucketError, CatalogUnavailableError) as error:
            logger().error("there is no new backup", error=str(error))
            wait_seconds = RETRY_SECONDS
        await asyncio.sleep(min(max(wait_seconds, 0), LOOK_SECONDS))


def backup_every(config: Config) -> timedelta:
    """How often the service takes a backup; zero is never."""
    return timedelta(hours=0 if config.catalog.is_on_server else config.backup.every_hours)


async def take(
    backup: Backup, catalog: Catalog, reader: CatalogReader, keep: int
) -> tuple[BackupIndex, int]:
    """One backup, and of the older ones all but the newest removed; how many those were.

    An index that is lost is not backed up: its backup would be the newest, and would be restored.
    Raises BackupError, BucketError and CatalogUnavailableError.
    """
    if await index_is_lost(backup.blobs, reader):
        raise BackupError(
            "the index is empty, and the bucket holds an archive: nothing was backed up, and the "
            "older backups stay. holdfast restore, or holdfast rebuild, brings the index back"
        )
    index = await backup.take()
    await catalog.write(lambda tables: tables.deliveries.beat(BACKUP, now=index.taken_at))
    return index, await backup.prune(keep, taken_at=index.taken_at)


def backup_of(config: Config, blobs: BlobStore) -> Backup:
    """What takes the backups of this archive."""
    return Backup(
        blobs=blobs,
        catalog=config.catalog.path,
        inboxes=config.catalog.inbox_folder,
        spool=config.catalog.folder / "spool",
        min_free_bytes=config.catalog.min_free_bytes,
        now=clock.now,
    )


async def _seconds_until_due(blobs: BlobStore, reader: CatalogReader, every: timedelta) -> float:
    now, found = clock.now(), await backups(blobs)
    # One that is yet to be taken was taken while the clock ran ahead, and is no reason to wait.
    whole = [at for at, has_index in found.items() if has_index and at <= now]
    due_at = next_at(whole, await reader.read(_begun_at), every)
    return LOOK_SECONDS if due_at is None else (due_at - now).total_seconds()


def _begun_at(tables: Tables) -> datetime | None:
    return tables.generations.begun_at()
