"""Where a catalog lies: in a file of SQLite's, or on a server of PostgreSQL's."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from archiver import sqlite
from archiver.catalog.texts import Texts
from archiver.catalog.usage import use
from archiver.catalog.walks import Walks
from archiver.database import Connection
from archiver.drivers import is_on_server, server_room
from archiver.errors import CatalogUnavailableError
from archiver.writer import Database


class Search(NamedTuple):
    """What no two databases do alike: the words and the walks by which slots are found; and what
    time it is for all who write in one, which the second argument says where it is nobody's."""

    texts: Callable[[Any], Texts]
    walks: Callable[[Any], Walks]
    time: Callable[[Any, Callable[[], datetime]], datetime]


IN_A_FILE = Search(texts=Texts, walks=Walks, time=lambda _, own: own())


class Store(Protocol):
    """How the catalog's one writer and its many readers get at the tables."""

    @property
    def search(self) -> Search:
        """How slots are found."""
        ...

    @property
    def is_far(self) -> bool:
        """Whether each statement is a journey, dearer than most of what it does."""
        ...

    @property
    def error(self) -> type[Exception]:
        """What the driver raises."""
        ...

    def is_data_fault(self, error: Exception) -> bool:
        """Whether an error of the driver's says nothing about the statements beside it."""
        ...

    def harmless(self, error: Exception) -> Exception:
        """The same error, less what it might show of rows; to be raised instead of it."""
        ...

    def hold(self) -> Callable[[], None]:
        """Keeps others from putting another catalog in its place, until the answer is called.

        Raises CatalogUnavailableError.
        """
        ...

    def for_writing(self, *, leads: bool) -> Database[Any]:
        """What the writer's thread writes to; of all that lead, one at a time can be opened."""
        ...

    def for_reading(self) -> Any:
        """A connection that cannot write; raises `error`."""
        ...

    def begin(self, connection: Connection) -> None:
        """Begins a transaction that nobody else's writing comes between."""
        ...

    def begin_view(self, connection: Connection) -> None:
        """Begins a transaction that sees the tables as of one moment."""
        ...

    def commit(self, connection: Connection) -> None:
        """Makes all of a transaction durable, or raises `error`."""
        ...

    def unavailable(self, error: Exception) -> CatalogUnavailableError:
        """What an operator is told of an error of the driver's."""
        ...


def store_of(where: Path | str) -> Store:
    """The store of a file, or of a URL that begins with postgresql://.

    Raises ConfigError where nothing is installed that speaks to PostgreSQL.
    """
    if not is_on_server(where):
        return SqliteStore(Path(where))
    store: Store = server_room("archiver.catalog.postgres_store").PostgresStore(where)
    return store


class SqliteStore:
    """A file, which must have been migrated."""

    search = IN_A_FILE
    is_far = False
    error = sqlite.Error

    def __init__(self, path: Path) -> None:
        self._path = path

    def hold(self) -> Callable[[], None]:
        """See `usage.use`."""
        held = use(self._path)
        return lambda: os.close(held)

    def for_writing(self, *, leads: bool) -> Database[sqlite.Connection]:
        """See `Store.for_writing`; who leads has locked the file's folder (`premises`)."""
        return sqlite.File(lambda: sqlite.open_writer(self._path, create=False))

    def for_reading(self) -> sqlite.Connection:
        """See `Store.for_reading`."""
        return sqlite.open_reader(self._path)

    def begin(self, connection: Connection) -> None:
        """See `Store.begin`."""
        connection.execute("BEGIN IMMEDIATE")

    def begin_view(self, connection: Connection) -> None:
        """See `Store.begin_view`."""
        connection.execute("BEGIN")

    def commit(self, connection: Connection) -> None:
        """See `Store.commit`."""
        connection.execute("COMMIT")

    def is_data_fault(self, error: Exception) -> bool:
        """See `Store.is_data_fault`."""
        return isinstance(error, sqlite.DATA_FAULTS)

    def harmless(self, error: Exception) -> Exception:
        """As it is: SQLite's errors show no rows."""
        return error

    def unavailable(self, error: Exception) -> CatalogUnavailableError:
        """See `Store.unavailable`."""
        if sqlite.is_damage(error):
            return CatalogUnavailableError(
                f"the catalog {self._path} is damaged ({error}), and trying again is useless: "
                "holdfast doctor looks closer; stop the service, then holdfast restore, or "
                "without a backup holdfast rebuild"
            )
        return CatalogUnavailableError(
            f"the catalog {self._path} cannot be used ({error}); nothing that was acknowledged is "
            "lost: see that its disk is well and has room, and holdfast goes on by itself"
        )
