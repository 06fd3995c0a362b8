"""Questions about inboxes to a PostgreSQL, on one connection that is made again when it is lost."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock
from typing import Any
from uuid import UUID

from archiver.errors import InboxUnavailableError
from archiver.postgres import Connection, Error, connect, said


class Questions:
    """Asked from any thread, one after the other; connected by the first."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = RLock()
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection | None:
        """The one that the last question was asked on; None where the next makes another."""
        return self._connection

    def ask(self, name: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that answer; raises InboxUnavailableError, of the inbox of that name."""
        with self._lock:
            try:
                return self._insist(sql, values)
            except Error as error:
                if self._is_lost():
                    self.close()
                # Not chained: a log with the whole story would show what `said` leaves out.
                raise unreadable(name, error) from None

    def uuid_of(self, name: str) -> UUID:
        """By which the inbox of that name is known; raises InboxUnavailableError."""
        for (found,) in self.ask(name, "SELECT uuid FROM inboxes WHERE name = ?", name):
            return UUID(str(found))
        raise InboxUnavailableError(f"the inbox {name} is still being made")

    def close(self) -> None:
        """Lets the server go, until the next question."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _insist(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """What was lost while nobody asked is made again once."""
        try:
            return self._answer(sql, values)
        except Error:
            if not self._is_lost():
                raise
            self.close()
            return self._answer(sql, values)

    def _answer(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = connect(self._url, writes=False)
        cursor = self._connection.execute(sql, values)
        return cursor.fetchall() if cursor.description else []

    def _is_lost(self) -> bool:
        return self._connection is not None and self._connection.raw.closed


def text(kept: bytes) -> str:
    """What strangers chose, out of the bytes as which it is kept."""
    return kept.decode("utf-8", "surrogatepass")


def unreadable(name: str, error: Error) -> InboxUnavailableError:
    """What an operator is told of a fault of the server's: no URL, no row."""
    return InboxUnavailableError(
        f"the inbox {name} cannot be read ({said(error)}); what it holds is not lost: see that the "
        "PostgreSQL server is well and that holdfast may read it"
    )
