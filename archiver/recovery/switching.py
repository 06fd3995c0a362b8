"""A finished catalog in the place of the one in use, at a moment when nobody uses either.

It is laid beside it under a name of its own, and whoever runs the roles stops those that use the
catalog and calls `switch`. What the old index had sealed since the bucket was read for the new one
is taken over, and no archive number that it has given is given again; the old file stays.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from archiver.catalog import Tables
from archiver.catalog.bulk import Bulk, Rows
from archiver.catalog.usage import alone
from archiver.durable import sync
from archiver.errors import CatalogUnavailableError
from archiver.models import Generation
from archiver.recovery.new_catalog import REBUILD
from archiver.recovery.preparing import Found, add
from archiver.sqlite import Connection, Error, open_reader, open_writer
from archiver.work import JobKind


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
    sync(catalog.parent)


def switch(catalog: Path) -> Switched | None:
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
                aside, taken_over, trouble = _prepare(connection, catalog)
        except (Error, _NotRebuiltError) as error:
            raise CatalogUnavailableError(
                f"{fresh} is no catalog to be switched in ({error}): remove it"
            ) from error
        _move(catalog, aside)
        fresh.rename(catalog)
        sync(catalog.parent)
    kept = aside if aside.exists() else None
    return Switched(aside=kept, taken_over=taken_over, trouble=trouble)


class _NotRebuiltError(Exception):
    """A catalog that nobody has made to be switched in."""


def _prepare(connection: Connection, catalog: Path) -> tuple[Path, int, str]:
    """Where the old catalog goes; how much was taken over from it, or why nothing could be."""
    made_at = Tables(connection).deliveries.last_beat_at(REBUILD)
    if made_at is None:
        raise _NotRebuiltError("it was not made by holdfast rebuild")
    aside = catalog.with_name(f"{catalog.stem}-{made_at:%Y%m%dT%H%M%S}{catalog.suffix}")
    taken_over, trouble = 0, ""
    # Once its log is moved away the old one must not be opened any more: it would get another.
    if catalog.exists() and not any(map(Path.exists, _all_of(aside))):
        try:
            with closing(open_reader(catalog)) as old:
                taken_over = _take_over(Tables(old), connection, made_at)
        except Error as error:
            trouble = str(error)
    # Closing it then leaves nothing beside the file, which alone is going to be renamed.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return aside, taken_over, trouble


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


def _move(catalog: Path, aside: Path) -> None:
    """A database goes last, so that no log is ever left beside the place of another."""
    for old, target in zip(_all_of(catalog), _all_of(aside), strict=True):
        if old.exists() and not target.exists():
            old.rename(target)
        old.unlink(missing_ok=True)


def _all_of(database: Path) -> list[Path]:
    return [database.with_name(database.name + end) for end in ("-wal", "-shm", "")]


@contextmanager
def _not_being_migrated(catalog: Path) -> Iterator[None]:
    """Holds the lock of `schema.migrate`."""
    with catalog.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
