"""A catalog on a server of PostgreSQL's, for services on many hosts."""

from __future__ import annotations

from collections.abc import Callable

from archiver import postgres
from archiver.catalog.postgres_texts import PostgresTexts
from archiver.catalog.postgres_walks import PostgresWalks
from archiver.catalog.stores import Search
from archiver.database import Connection
from archiver.errors import CatalogUnavailableError
from archiver.writer import Database

# Whoever holds it is the catalog's one writer until his transaction ends, on whichever host.
_WRITER_LOCK = 0x686F6C65


ON_A_SERVER = Search(texts=PostgresTexts, walks=PostgresWalks)  # type: ignore[arg-type]


class PostgresStore:
    """A database on a server, which must have been migrated.

    Writers of all hosts take turns, so that what reads a generation and writes it anew has it to
    itself, as in a file; a turn is a transaction for all that waits in one process.
    """

    search = ON_A_SERVER
    error = postgres.Error

    def __init__(self, url: str) -> None:
        self._url = url

    def hold(self) -> Callable[[], None]:
        """Nobody puts another catalog in its place."""
        return lambda: None

    def for_writing(self) -> Database[postgres.Connection]:
        """See `Store.for_writing`."""
        return postgres.Server(lambda: postgres.connect(self._url))

    def for_reading(self) -> postgres.Connection:
        """See `Store.for_reading`."""
        return postgres.connect(self._url, writes=False)

    def begin(self, connection: Connection) -> None:
        """See `Store.begin`."""
        connection.execute("BEGIN")
        connection.execute("SELECT pg_advisory_xact_lock(?)", (_WRITER_LOCK,))

    def begin_view(self, connection: Connection) -> None:
        """See `Store.begin_view`."""
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def commit(self, connection: Connection) -> None:
        """Also raises if the server has given the transaction up, which it does without a word."""
        postgres.commit(connection)

    def is_data_fault(self, error: Exception) -> bool:
        """See `Store.is_data_fault`."""
        return postgres.is_data_fault(error)

    def harmless(self, error: Exception) -> Exception:
        """Without the DETAIL, which shows whole rows."""
        return type(error)(postgres.said(error))

    def unavailable(self, error: Exception) -> CatalogUnavailableError:
        """See `Store.unavailable`."""
        return CatalogUnavailableError(
            f"the catalog on PostgreSQL cannot be used ({postgres.said(error)}); nothing that was "
            "acknowledged is lost: see that the server of catalog.url runs, takes writes and has "
            "room, and holdfast goes on by itself"
        )
