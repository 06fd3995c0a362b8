"""An inbox file as a person leafs through it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from archiver.errors import InboxUnavailableError
from archiver.inbox.leafing import Leaf
from archiver.models import Heard
from archiver.moments import from_millis
from archiver.sqlite import Error, open_reader

_COLUMNS = "position, source, heard, received_at, peer, verified_by, length(body)"


class SqliteLeaves:
    """What `InboxLeaves` promises, of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = path.stem
        try:
            self._connection = open_reader(path)
        except Error as error:
            raise self._unreadable(error) from error
        rows = self._ask("SELECT uuid FROM inbox")
        if not rows:
            raise InboxUnavailableError(f"the inbox {path} is still being made")
        self.uuid: str = rows[0][0]

    def newest(self) -> int:
        """See `InboxLeaves.newest`."""
        ((position,),) = self._ask("SELECT ifnull(max(position), 0) FROM deliveries")
        return int(position)

    def before(self, position: int, *, limit: int) -> Sequence[Leaf]:
        """See `InboxLeaves.before`."""
        rows = self._ask(
            f"SELECT {_COLUMNS} FROM deliveries WHERE position < ? ORDER BY position DESC LIMIT ?",
            position,
            limit,
        )
        return [_leaf(row) for row in rows]

    def at(self, positions: Sequence[int]) -> Sequence[Leaf]:
        """See `InboxLeaves.at`."""
        rows = self._ask(
            f"SELECT {_COLUMNS} FROM deliveries"
            f" WHERE position IN ({','.join('?' * len(positions))}) ORDER BY position DESC",
            *positions,
        )
        return [_leaf(row) for row in rows]

    def knows(self, source: str, path_token: str, body: bytes) -> bool:
        """See `InboxLeaves.knows`."""
        rows = self._ask(
            "SELECT 1 FROM deliveries WHERE sha256=? AND source=? AND heard=? AND path_token=?",
            sha256(body).digest(),
            source,
            Heard.PUSHED.value,
            path_token,
        )
        return bool(rows)

    def close(self) -> None:
        """Lets the file go."""
        self._connection.close()

    def _ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Error) -> InboxUnavailableError:
        return InboxUnavailableError(
            f"the inbox {self._path} cannot be read ({error}); what it holds is not lost: see that "
            "its disk is well and that holdfast may read it"
        )


def _leaf(row: tuple[Any, ...]) -> Leaf:
    position, source, heard, received_at, peer, verified_by, size_bytes = row
    return Leaf(
        position=position,
        source=source,
        heard=Heard(heard),
        received_at=from_millis(received_at),
        peer=peer,
        verified_by=verified_by,
        size_bytes=size_bytes,
    )
