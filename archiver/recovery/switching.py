"""A finished catalog in the place of the one in use, at a moment when nobody uses either.

It is laid beside it under a name of its own, and whoever runs the roles stops those that use the
catalog and calls `switch`. What the old index had sealed since the bucket was read for the new one
is taken over, and no archive number that it has given is given again; the old file stays.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from archiver.catalog import Tables
from archiver.catalog.bulk import Bulk, Rows
from archiver.catalog.usage import alone
from archiver.errors import CatalogUnavailableError
from archiver.models import Generation
from archiver.recovery.new_catalog import REBUILD
from archiver.recovery.preparing import Found, add
from archiver.sqlite import Connection, Error, open_reader, open_writer
from archiver.work import JobKind

# What belongs to a database beside its file, in the order in which it may be moved away.
_BESIDE = ("-wal", "-shm")


@dataclass(frozen=True, kw_only=True, slots=True)
class Switched:
    """The old catalog's file, None if there was none; what was taken over from it, or why not."""

    aside: Path | None
    taken_over: int
    trouble: str

    @property
    def says(self) -> dict[str, object]:
        """What the log says of it."""
        said = {"aside": str(self.aside) if self.aside else "", "trouble": self.trouble}
        return {"taken_over": self.taken_over, **{name: it for name, it in said.items() if it}}


def next_path(catalog: Path) -> Path:
    """Where a finished catalog waits to be switched in."""
    return catalog.with_name(f"{catalog.name}.next")


def offer(made: Path, catalog: Path) -> None:
    """Lays a finished catalog, closed and in the same folder, where it is switched in from."""
    made.replace(next_path(catalog))
    _sync(catalog.parent)


def switch(catalog: Path, *, now: datetime) -> Switched | None:
    """Puts the catalog that waits in its place; None if none waits.

    Whatever interrupts it, doing it again goes on. Raises InUseError while somebody uses the
    catalog, and CatalogUnavailableError for a file that is none: nothing has changed then.
    """
    fresh = next_path(catalog)
    with alone(catalog), _not_being_migrated(catalog):
        if not fresh.exists():
            return None
        try:
            with closing(open_writer(fresh, create=False)) as connection:
                made_at, taken_over, trouble = _prepare(connection, catalog)
        except Error as error:
            raise CatalogUnavailableError(
                f"{fresh} is no catalog to be switched in ({error}): remove it"
            ) from error
        aside = _move_aside(catalog, made_at or now)
        fresh.rename(catalog)
        _sync(catalog.parent)
    return Switched(aside=aside, taken_over=taken_over, trouble=trouble)


def _prepare(connection: Connection, catalog: Path) -> tuple[datetime | None, int, str]:
    """When the new catalog was made; how much it has taken over, or why it could not."""
    made_at = Tables(connection).deliveries.last_beat_at(REBUILD)
    taken_over, trouble = 0, ""
    if made_at is not None and catalog.exists():
        try:
            with closing(open_reader(catalog)) as old:
                taken_over = _take_over(Tables(old), connection, made_at)
        except Error as error:
            trouble = str(error)
    # Closing it then leaves nothing beside the file, which alone is going to be renamed.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return made_at, taken_over, trouble


def _take_over(old: Tables, connection: Connection, since: datetime) -> int:
    """What was sealed since then, and so is in the bucket under numbers that are promised."""
    bulk, count = Bulk(connection), 0
    bulk.numbers_begin_beyond(Bulk(old.connection).highest_number())
    for key in old.jobs.ended_since(JobKind.SEAL, since):
        generation = old.generations.load_key(key)
        if generation is not None and generation.sealed_revision:
            count += _put(Tables(connection), bulk, generation, since)
    return count


def _put(tables: Tables, bulk: Bulk, generation: Generation, now: datetime) -> bool:
    known = tables.generations.load(generation.provider, generation.id)
    if known is not None and known.revision >= generation.revision:
        return False
    numbers = [slot.number for slot in generation.slots if slot.number is not None]
    owner = known.key if known else None
    if any(key != owner for key in bulk.taken(numbers).values()):
        return False  # the bucket says that they are another's
    if known is not None:
        tables.forgetting.generation(known)
    rows = Rows()
    again = replace(generation, key=bulk.next_key())
    add(rows, Found(generation=again, key=""), derived=True)
    bulk.insert(rows, now=now)
    return True


def _move_aside(catalog: Path, at: datetime) -> Path | None:
    """The same name whenever it is done again, so that a log and its database stay together."""
    aside = catalog.with_name(f"{catalog.stem}-{at:%Y%m%dT%H%M%S}{catalog.suffix}")
    for end in (*_BESIDE, ""):
        with_end = catalog.with_name(catalog.name + end)
        if with_end.exists():
            with_end.rename(aside.with_name(aside.name + end))
    return aside if aside.exists() else None


@contextmanager
def _not_being_migrated(catalog: Path) -> Iterator[None]:
    """Holds the lock of `schema.migrate`."""
    with catalog.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
