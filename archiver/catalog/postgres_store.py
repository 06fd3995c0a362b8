"""A catalog on a server of PostgreSQL's, for services on many hosts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from archiver import postgres
from archiver.catalog.postgres_migrations import migrate
from archiver.catalog.postgres_texts import PostgresTexts
from archiver.catalog.postgres_walks import PostgresWalks
from archiver.catalog.stores import Search
from archiver.database import Connection
from archiver.errors import CatalogUnavailableError, LedElsewhereError
from archiver.moments import from_millis
from archiver.moves import ARRIVING, is_arriving
from archiver.writer import Database

# Whoever holds it is the catalog's one writer until his transaction ends, on whichever host.
_WRITER_LOCK = 0x686F6C65
# Whoever's session holds it has the catalog's jobs done, on whichever host.
_LEADER_LOCK = 0x686F6C66

_TIME = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


def _time(connection: postgres.Connection, _: Callable[[], datetime]) -> datetime:
    """The server's, so that no node's clock ends another's leases."""
    ((millis,),) = connection.execute(_TIME).fetchall()
    return from_millis(int(millis))


ON_A_SERVER = Search(texts=PostgresTexts, walks=PostgresWalks, time=_time)  # type: ignore[arg-type]


class _LeaderTaken(postgres.Error):
    """Another session leads."""


class _Arriving(postgres.Error):
    """Not all of the archive is there yet."""


class PostgresStore:
    """A database on a server, which must have been migrated.

    Writers of all hosts take turns, so that what reads a generation and writes it anew has it to
    itself, as in a file; a turn is a transaction for all that waits in one process.
    """

    search = ON_A_SERVER
    is_far = True
    error = postgres.Error

    def __init__(self, url: str) -> None:
        self._url = url

    def hold(self) -> Callable[[], None]:
        """Nobody puts another catalog in its place."""
        return lambda: None

    def migrate(self) -> None:
        """See `postgres_migrations.migrate`; raises CatalogUnavailableError."""
        try:
            migrate(self._url)
        except postgres.Error as error:
            raise self.unavailable(error) from None

    def for_writing(self, *, leads: bool) -> Database[postgres.Connection]:
        """See `Store.for_writing`.

        Whoever leads does so by the session that writes: nothing of his can be committed once
        another may have begun to.
        """
        opened = self.lead if leads else lambda: postgres.connect(self._url)
        return postgres.Server(lambda: _complete(opened()))

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
        if isinstance(error, _LeaderTaken):
            return LedElsewhereError("the archive role of another node has this catalog's work")
        if isinstance(error, _Arriving):
            return CatalogUnavailableError(f"the catalog cannot be used yet: {ARRIVING}")
        return CatalogUnavailableError(
            f"the catalog on PostgreSQL cannot be used ({postgres.said(error)}); nothing that was "
            "acknowledged is lost: see that the server of catalog.url runs, takes writes and has "
            "room, and holdfast goes on by itself"
        )

    def lead(self) -> postgres.Connection:
        """A connection that leads while it lasts, whatever is in the database; raises `error`."""
        connection = postgres.connect(self._url)
        try:
            ((leads,),) = connection.execute("SELECT pg_try_advisory_lock(?)", (_LEADER_LOCK,))
            if not leads:
                raise _LeaderTaken
        except BaseException:
            connection.close()
            raise
        return connection


def _complete(connection: postgres.Connection) -> postgres.Connection:
    """The connection, if all of the archive is there."""
    try:
        if is_arriving(connection):
            raise _Arriving
    except BaseException:
        connection.close()
        raise
    return connection
