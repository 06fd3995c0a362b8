"""An inbox on PostgreSQL for whoever reads it: absorb, and who needs a delivery again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from archiver.clock import monotonic
from archiver.errors import InboxUnavailableError
from archiver.inbox.postgres_batch import CHANNEL
from archiver.inbox.postgres_questions import Questions, text, unreadable
from archiver.models import Delivery, DeliveryRef, Heard
from archiver.moments import from_millis, to_millis
from archiver.postgres import Connection, Error, opened

# A notification is lost with the connection that was to bring it.
LOOK_SECONDS = 1.0

_COLUMNS = (
    "position, source, heard, path_token, received_at, peer, verified_by, sha256, headers, body"
)

_unpack = msgspec.msgpack.Decoder(tuple[tuple[bytes, bytes], ...]).decode


class PostgresInboxReader:
    """The reading side: absorb's, and that of whoever needs a delivery again.

    A lost connection is made again by the next question. Every method raises InboxUnavailableError.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        look_seconds: float = LOOK_SECONDS,
        questions: Questions | None = None,
    ) -> None:
        """`changed` asks the server itself so often, should a notification have been lost.

        `questions` are those of all readers in a process, which so need one connection together;
        only whoever asks for changes has another, to be notified by.
        """
        self._name = name
        self._look_seconds = look_seconds
        self._look_at = 0.0
        self._seen = -1
        self._questions = questions or Questions(url)
        self._notified = Questions(url)
        # A connection made again does not listen.
        self._listening: Connection | None = None
        try:
            self._uuid = self._questions.uuid_of(name)
        except InboxUnavailableError:
            self.close()
            raise

    @property
    def uuid(self) -> str:
        """See `InboxReader.uuid`."""
        return str(self._uuid)

    def changed(self) -> bool:
        """See `InboxReader.changed`; without a round trip, unless it is time to look.

        A notification comes a moment after its commit: exact is only who always looks.
        """
        newest = self._told()
        if newest is None:
            newest = self._look()
        changed, self._seen = newest != self._seen, newest
        return changed

    def after(self, position: int, *, limit: int) -> Sequence[Delivery]:
        """See `InboxReader.after`."""
        rows = self._ask(
            f"SELECT {_COLUMNS} FROM deliveries WHERE inbox = ? AND position > ?"
            " ORDER BY position LIMIT ?",
            self._uuid,
            position,
            limit,
        )
        return [self._delivery(row) for row in rows]

    def get(self, position: int) -> Delivery | None:
        """See `InboxReader.get`."""
        rows = self._ask(
            f"SELECT {_COLUMNS} FROM deliveries WHERE inbox = ? AND position = ?",
            self._uuid,
            position,
        )
        return self._delivery(rows[0]) if rows else None

    def bodies(
        self, *, above: int, upto: int, before: datetime, limit: int
    ) -> Sequence[tuple[int, bool]]:
        """See `StoredInbox.bodies`."""
        rows = self._ask(
            "SELECT position, body IS NOT NULL AND received_at < ? FROM deliveries"
            " WHERE inbox = ? AND position > ? AND position <= ? ORDER BY position LIMIT ?",
            to_millis(before),
            self._uuid,
            above,
            upto,
            limit,
        )
        return [(position, can_go) for position, can_go in rows]

    def has_bodies(self, first: int, last: int) -> bool:
        """Whether any delivery between these positions, both included, has its body."""
        ((found,),) = self._ask(
            "SELECT EXISTS (SELECT 1 FROM deliveries"
            " WHERE inbox = ? AND position BETWEEN ? AND ? AND body IS NOT NULL)",
            self._uuid,
            first,
            last,
        )
        return bool(found)

    def last_position(self) -> int:
        """Of the newest delivery; 0 if there is none."""
        ((position,),) = self._ask(
            "SELECT coalesce(max(position), 0) FROM deliveries WHERE inbox = ?", self._uuid
        )
        return int(position)

    def count_after(self, position: int) -> int:
        """How many deliveries lie beyond a position."""
        ((count,),) = self._ask(
            "SELECT count(*) FROM deliveries WHERE inbox = ? AND position > ?", self._uuid, position
        )
        return int(count)

    def close(self) -> None:
        """Lets the server go."""
        self._notified.close()
        self._questions.close()

    def _told(self) -> int | None:
        """The newest position that was notified of; None if it is time to look."""
        connection = self._notified.connection
        if connection is None or connection is not self._listening:
            return None
        try:
            notes = [note.payload.split() for note in connection.raw.notifies(timeout=0)]
        except Error:
            self._notified.close()
            return None
        newest = max((int(position) for inbox, position in notes if inbox == self.uuid), default=0)
        if newest > self._seen:
            return newest
        # A notification that comes after a look is of what was seen.
        return None if monotonic() >= self._look_at else self._seen

    def _look(self) -> int:
        if self._listening is None or self._listening is not self._notified.connection:
            self._notified.ask(self._name, f"LISTEN {CHANNEL}")
            self._listening = self._notified.connection
        self._look_at = monotonic() + self._look_seconds
        return self.last_position()

    def _ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._questions.ask(self._name, sql, *values)

    def _delivery(self, row: tuple[Any, ...]) -> Delivery:
        position, source, heard, path_token, received_at, peer, verified_by, _, headers, body = row
        return Delivery(
            ref=DeliveryRef(inbox=self.uuid, position=position),
            source=text(source),
            heard=Heard(heard),
            path_token=text(path_token),
            received_at=from_millis(received_at),
            peer=text(peer),
            verified_by=text(verified_by),
            headers=_unpack(headers) if headers is not None else (),
            body=body,
        )


def inbox_names(url: str) -> list[str]:
    """The inboxes of a database, by the names of their owners; raises InboxUnavailableError."""
    try:
        with opened(url, writes=False) as connection:
            asked = connection.execute("SELECT to_regclass('inboxes') IS NOT NULL")
            if asked.fetchall() == [(False,)]:
                return []
            return [name for (name,) in connection.execute("SELECT name FROM inboxes ORDER BY 1")]
    except Error as error:
        raise unreadable("list", error) from None
