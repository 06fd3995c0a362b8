"""Where the inboxes of an archive lie: in files beside its catalog, or on a server of PostgreSQL's.

Inboxes go by the role of the process that hears: on a server with the node it runs on behind.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from archiver.drivers import is_on_server, server_room
from archiver.errors import InboxUnavailableError
from archiver.inbox import OwnedInbox, StoredInbox, is_the_one
from archiver.inbox.leafing import InboxLeaves
from archiver.inbox.sqlite import SqliteInbox, SqliteInboxReader, inbox_files
from archiver.inbox.sqlite_leaves import SqliteLeaves
from archiver.inbox.tallies import AddedUp, add_up
from archiver.prunings import Pruning, ordered
from archiver.sqlite import Error, open_reader

NODE_SIGN = "@"


class InboxStore(Protocol):
    """All inboxes of one archive; every method raises InboxUnavailableError."""

    @property
    def look_seconds(self) -> float:
        """How long who looks again and again leaves between two questions for the names."""
        ...

    def names(self) -> list[str]:
        """Of all the inboxes there are; the quarantine is none."""
        ...

    def writer(self, role: str) -> OwnedInbox:
        """The inbox of that role on this node, not yet started; asked for inside the event loop."""
        ...

    def reader(self, name: str) -> StoredInbox:
        """One inbox, for who absorbs it or looks after what it keeps."""
        ...

    def leaves(self, name: str) -> InboxLeaves:
        """One inbox, for who leafs through it."""
        ...

    def added_up(
        self, name: str, *, since: datetime, reached: Callable[[str], int], rows: int
    ) -> AddedUp:
        """The newest `rows` of one inbox.

        `reached` says of an inbox by its UUID up to which position it is absorbed.
        """
        ...

    def orders(self, role: str) -> set[Pruning]:
        """What the catalog orders to be taken out of the inbox of that role on this node.

        Nothing while there is no catalog, nor if it means another inbox (`is_the_one`).
        """
        ...


def inbox_store(
    where: Path | str, *, folder: Path, node: str, min_free_bytes: int = 0
) -> InboxStore:
    """The inboxes of the archive whose catalog is the file or the postgresql:// URL `where`.

    Files lie in `folder`, and refuse deliveries while their disk has less than `min_free_bytes`
    left; on a server `node` tells this machine's inboxes from those of the others. Raises
    ConfigError where nothing is installed that speaks to PostgreSQL.
    """
    if not is_on_server(where):
        return SqliteInboxStore(Path(where), folder, min_free_bytes=min_free_bytes)
    room = server_room("archiver.inbox.postgres_store")
    store: InboxStore = room.PostgresInboxStore(where, node)
    return store


def role_of(name: str) -> str:
    """Whose inbox it is: `receive` of `receive`, and of `receive@host`."""
    return name.partition(NODE_SIGN)[0]


class SqliteInboxStore:
    """A folder with a file to an inbox, which goes by the name of its file."""

    look_seconds = 0.0

    def __init__(self, catalog: Path, folder: Path, *, min_free_bytes: int = 0) -> None:
        self._catalog = catalog
        self._folder = folder
        self._min_free_bytes = min_free_bytes

    def names(self) -> list[str]:
        """See `InboxStore.names`; never raises."""
        return [path.stem for path in inbox_files(self._folder)]

    def writer(self, role: str) -> SqliteInbox:
        """See `InboxStore.writer`."""
        return SqliteInbox(self._path(role), min_free_bytes=self._min_free_bytes)

    def reader(self, name: str) -> SqliteInboxReader:
        """See `InboxStore.reader`."""
        return SqliteInboxReader(self._path(name))

    def leaves(self, name: str) -> SqliteLeaves:
        """See `InboxStore.leaves`."""
        return SqliteLeaves(self._path(name))

    def added_up(
        self, name: str, *, since: datetime, reached: Callable[[str], int], rows: int
    ) -> AddedUp:
        """See `InboxStore.added_up`; in an inbox that is just being made there is nothing yet."""
        path = self._path(name)
        try:
            with closing(open_reader(path)) as connection:
                [(uuid,)] = connection.execute("SELECT uuid FROM inbox").fetchall() or [("",)]
                return add_up(connection, since=since, reached=reached(uuid), rows=rows)
        except Error as error:
            raise InboxUnavailableError(
                f"the inbox {path} cannot be read ({error}); what it holds is not lost: see that "
                "its disk is well and that holdfast may read it"
            ) from error

    def orders(self, role: str) -> set[Pruning]:
        """See `InboxStore.orders`; nothing, too, while the catalog cannot be read."""
        with closing(self.reader(role)) as reader:
            return set(ordered(self._catalog, reader.uuid, partial(is_the_one, reader)))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.db"
