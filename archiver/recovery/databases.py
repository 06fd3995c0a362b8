"""What a database says of itself: a catalog how far it has come, an inbox which one it is.

A file is opened only to read, so one in use is not disturbed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from archiver.moments import from_millis
from archiver.sqlite import Connection, Error, open_reader


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogFacts:
    """A catalog: its migrations, and when the first was made, which no other catalog shares; how
    many generations it knows; which position of each inbox it has absorbed; and when a role that
    uses it last gave a sign of life."""

    steps: tuple[str, ...]
    born_at: str
    generations: int
    positions: Mapping[str, int]
    beat_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxFacts:
    """An inbox: its UUID, the position of its last delivery, and which delivery that was."""

    uuid: str
    position: int
    last: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """A file that is there and cannot be used."""

    reason: str


def catalog_facts(path: Path) -> CatalogFacts | Broken:
    """What that catalog says of itself."""
    try:
        with _reading(path) as connection:
            steps = connection.execute(
                "SELECT name, applied_at FROM _sqlite_migrations"
                " WHERE migration_set = 'catalog' ORDER BY id"
            ).fetchall()
            (generations,) = connection.execute("SELECT count(*) FROM generations").fetchone()
            positions = dict(connection.execute("SELECT inbox, position FROM inbox_positions"))
            (beat_at,) = connection.execute("SELECT max(beat_at) FROM heartbeats").fetchone()
    except Error as error:
        return Broken(reason=str(error))
    return CatalogFacts(
        steps=tuple(name for name, _ in steps),
        born_at=steps[0][1],
        generations=generations,
        positions=positions,
        beat_at=from_millis(beat_at),
    )


def inbox_facts(path: Path) -> InboxFacts | Broken | None:
    """What that inbox says of itself; None if it is still being made, and has nothing in it."""
    try:
        with _reading(path) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
            row = connection.execute("SELECT uuid FROM inbox").fetchone() if tables else None
            if row is None:
                return None
            (position,) = connection.execute(
                "SELECT ifnull(max(position), 0) FROM deliveries"
            ).fetchone()
            return InboxFacts(uuid=row[0], position=position, last=_delivery(connection, position))
    except Error as error:
        return Broken(reason=str(error))


def delivery_at(path: Path, position: int) -> str:
    """Which delivery an inbox has at that position, as `InboxFacts.last` says it; "" if none."""
    with _reading(path) as connection:
        return _delivery(connection, position)


def _delivery(connection: Connection, position: int) -> str:
    row = connection.execute(
        "SELECT lower(hex(sha256)) || ' ' || received_at FROM deliveries WHERE position = ?",
        (position,),
    ).fetchone()
    return row[0] if row else ""


@contextmanager
def _reading(path: Path) -> Iterator[Connection]:
    connection = open_reader(path)
    try:
        yield connection
    finally:
        connection.close()
