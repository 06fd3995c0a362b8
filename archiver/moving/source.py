"""The archive that is moved: its files, open for nothing but reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from archiver import sqlite
from archiver.catalog.schema import steps as known_steps
from archiver.errors import MoveError
from archiver.inbox.sqlite import inbox_files
from archiver.inbox.stores import NODE_SIGN
from archiver.moving.inboxes import InboxFile
from archiver.moving.tables import TABLES
from archiver.recovery.databases import Broken, catalog_facts, inbox_facts


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The catalog's file, what no other catalog is called, and the inboxes."""

    catalog: sqlite.Connection
    archive: str
    inboxes: Sequence[InboxFile]

    def versions(self) -> list[int]:
        """Numbers of which one changes whenever anybody has written; raises `sqlite.Error`."""
        files = (self.catalog, *(inbox.connection for inbox in self.inboxes))
        return [sqlite.data_version(file) for file in files]


@contextmanager
def opened_source(catalog: Path, folder: Path, *, node: str) -> Iterator[Source]:
    """The catalog's file and the inboxes in `folder`, which are `role@node` on the server.

    Raises MoveError for files that cannot be read or are of another version, and `sqlite.Error`.
    """
    if not catalog.exists():
        raise MoveError(f"there is no archive to move: {catalog} is not there; see catalog.url")
    facts = catalog_facts(catalog)
    if isinstance(facts, Broken):
        raise _broken(catalog, facts)
    if facts.steps != known_steps():
        raise MoveError(
            f"the catalog {catalog} is of another version of holdfast: start the service once with "
            "this one, which brings it up to date, and type the same again"
        )
    with ExitStack() as stack:
        inboxes = []
        for path in inbox_files(folder):
            found = inbox_facts(path)
            if isinstance(found, Broken):
                raise _broken(path, found)
            if found is not None:  # otherwise it is just being made, and holds nothing
                name = f"{path.stem}{NODE_SIGN}{node}"
                connection = stack.enter_context(closing(sqlite.open_reader(path)))
                inboxes.append(InboxFile(name=name, uuid=found.uuid, connection=connection))
        connection = stack.enter_context(closing(sqlite.open_reader(catalog)))
        yield Source(catalog=connection, archive=facts.born_at, inboxes=inboxes)


def counts_of(source: Source) -> dict[str, int]:
    """How many rows each table has, by what `walking` calls it; raises `sqlite.Error`."""
    counts = {table.name: _count(source.catalog, table.name) for table in TABLES}
    counts["inboxes"] = len(source.inboxes)
    for inbox in source.inboxes:
        counts[f"deliveries {inbox.name}"] = _count(inbox.connection, "deliveries")
    return counts


def _count(connection: sqlite.Connection, table: str) -> int:
    ((rows,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(rows)


def _broken(path: Path, broken: Broken) -> MoveError:
    return MoveError(
        f"{path} cannot be read ({broken.reason}): holdfast doctor looks closer; before anything "
        "is moved bring it back with holdfast restore, or without a backup with holdfast rebuild"
    )
