"""The inboxes of an archive on PostgreSQL: those of all its nodes, in one database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from uuid import UUID

from archiver.errors import InboxUnavailableError
from archiver.inbox import is_the_one
from archiver.inbox.postgres import PostgresInbox
from archiver.inbox.postgres_leaves import PostgresLeaves
from archiver.inbox.postgres_questions import Questions, unreadable
from archiver.inbox.postgres_reader import LOOK_SECONDS, PostgresInboxReader, inbox_names
from archiver.inbox.stores import NODE_SIGN
from archiver.inbox.tallies import AddedUp, add_up
from archiver.postgres import Connection, Error, opened
from archiver.prunings import Pruning, Prunings


class PostgresInboxStore:
    """A database, in which an inbox goes by `role@node`."""

    # A name is asked for with a connection of its own.
    look_seconds = LOOK_SECONDS

    def __init__(self, url: str, node: str) -> None:
        self._url = url
        self._node = node
        # Who reads the inboxes of many nodes takes no connection for each.
        self._questions = Questions(url)

    def names(self) -> list[str]:
        """See `InboxStore.names`; none while nobody has made the tables."""
        return inbox_names(self._url)

    def writer(self, role: str) -> PostgresInbox:
        """See `InboxStore.writer`."""
        return PostgresInbox(self._url, self._name(role))

    def reader(self, name: str) -> PostgresInboxReader:
        """See `InboxStore.reader`."""
        return PostgresInboxReader(self._url, name, questions=self._questions)

    def leaves(self, name: str) -> PostgresLeaves:
        """See `InboxStore.leaves`."""
        return PostgresLeaves(self._questions, name)

    def added_up(
        self, name: str, *, since: datetime, reached: Callable[[str], int], rows: int
    ) -> AddedUp:
        """See `InboxStore.added_up`."""
        with self._reading(name) as (connection, inbox):
            upto = reached(str(inbox))
            return add_up(connection, since=since, reached=upto, rows=rows, inbox=inbox)

    def orders(self, role: str) -> set[Pruning]:
        """See `InboxStore.orders`."""
        name = self._name(role)
        with self._reading(name) as (connection, inbox):
            migrated = connection.execute("SELECT to_regclass('prunings') IS NOT NULL")
            if migrated.fetchall() == [(False,)]:
                return set()
            prunings = Prunings(connection)
            ready = prunings.ready(str(inbox))
            position, received_at = prunings.reached(str(inbox))
        if not ready:
            return set()
        with closing(self.reader(name)) as reader:
            return set(ready) if is_the_one(reader, position, received_at) else set()

    @contextmanager
    def _reading(self, name: str) -> Iterator[tuple[Connection, UUID]]:
        """A connection for a while, and the inbox's UUID."""
        try:
            with opened(self._url, writes=False) as connection:
                asked = connection.execute("SELECT uuid FROM inboxes WHERE name = ?", (name,))
                found = asked.fetchall()
                if not found:
                    raise InboxUnavailableError(f"the inbox {name} is still being made")
                yield connection, found[0][0]
        except Error as error:
            # Not chained: a log with the whole story would show what `said` leaves out.
            raise unreadable(name, error) from None

    def _name(self, role: str) -> str:
        return f"{role}{NODE_SIGN}{self._node}"
