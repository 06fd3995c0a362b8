"""An inbox on PostgreSQL as a person leafs through it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from archiver.errors import InboxUnavailableError
from archiver.inbox.leafing import Leaf
from archiver.inbox.postgres_questions import Questions, text
from archiver.models import Heard
from archiver.moments import from_millis

_COLUMNS = "position, source, heard, received_at, peer, verified_by, length(body)"


class PostgresLeaves:
    """What `InboxLeaves` promises, of one of the inboxes that share a table."""

    def __init__(self, questions: Questions, name: str) -> None:
        """`questions` may be shared with the leaves of other inboxes."""
        self._questions = questions
        self.name = name
        try:
            self._uuid = questions.uuid_of(name)
        except InboxUnavailableError:
            self.close()  # nobody else can
            raise

    @property
    def uuid(self) -> str:
        """See `InboxReader.uuid`."""
        return str(self._uuid)

    def newest(self) -> int:
        """See `InboxLeaves.newest`."""
        ((position,),) = self._ask(
            "SELECT coalesce(max(position), 0) FROM deliveries WHERE inbox = ?", self._uuid
        )
        return int(position)

    def before(self, position: int, *, limit: int) -> Sequence[Leaf]:
        """See `InboxLeaves.before`."""
        rows = self._ask(
            f"SELECT {_COLUMNS} FROM deliveries WHERE inbox = ? AND position < ?"
            " ORDER BY position DESC LIMIT ?",
            self._uuid,
            position,
            limit,
        )
        return [_leaf(row) for row in rows]

    def at(self, positions: Sequence[int]) -> Sequence[Leaf]:
        """See `InboxLeaves.at`."""
        rows = self._ask(
            f"SELECT {_COLUMNS} FROM deliveries WHERE inbox = ? AND position = ANY(?::bigint[])"
            " ORDER BY position DESC",
            self._uuid,
            list(positions),
        )
        return [_leaf(row) for row in rows]

    def knows(self, source: str, path_token: str, body: bytes) -> bool:
        """See `InboxLeaves.knows`; what any inbox of the database has is known here."""
        rows = self._ask(
            "SELECT 1 FROM deliveries WHERE sha256 = ? AND sha256(path_token) = ? AND source = ?"
            " AND heard = ?",
            sha256(body).digest(),
            sha256(_bytes(path_token)).digest(),
            _bytes(source),
            Heard.PUSHED.value,
        )
        return bool(rows)

    def close(self) -> None:
        """Lets the server go; who shares the questions makes the connection again."""
        self._questions.close()

    def _ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._questions.ask(self.name, sql, *values)


def _leaf(row: tuple[Any, ...]) -> Leaf:
    position, source, heard, received_at, peer, verified_by, size_bytes = row
    return Leaf(
        position=position,
        source=text(source),
        heard=Heard(heard),
        received_at=from_millis(received_at),
        peer=text(peer),
        verified_by=text(verified_by),
        size_bytes=size_bytes,
    )


def _bytes(said: str) -> bytes:
    return said.encode("utf-8", "surrogatepass")
