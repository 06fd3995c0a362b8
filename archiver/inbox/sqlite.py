"""The SQLite driver of the inbox: one file, one table, one multi-row INSERT per commit.

Dedupe is the insert itself: a unique index over (source, heard, path_token, sha256 of the body).
The sender's headers cannot take part, because nothing signs them.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from archiver.durable import make_folder
from archiver.errors import InboxUnavailableError
from archiver.inbox import NewDelivery, Recorded
from archiver.inbox.batch import COLUMNS, Item, Prove, Prune, write
from archiver.metrics import INGEST_COMMIT_SECONDS
from archiver.models import Delivery, DeliveryRef, Heard
from archiver.moments import from_millis, to_millis
from archiver.sqlite import (
    Connection,
    Error,
    File,
    data_version,
    open_reader,
    open_writer,
)
from archiver.writer import WriterThread

_SCHEMA = """
CREATE TABLE IF NOT EXISTS inbox (uuid TEXT NOT NULL, proved_at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS deliveries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    heard TEXT NOT NULL,
    path_token TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    peer TEXT NOT NULL,
    verified_by TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    headers BLOB,
    body BLOB
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS deliveries_once
    ON deliveries (sha256, source, heard, path_token);
"""

# Nobody else writes here, so whoever holds a lock is a stranger: the sender is told soon.
BUSY_SECONDS = 1.0

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[tuple[bytes, bytes], ...]).decode


class SqliteInbox:
    """The writing side; the process that owns the file makes exactly one."""

    def __init__(self, path: Path, *, min_free_bytes: int = 0) -> None:
        """Refuses deliveries while the disk has less than `min_free_bytes` left."""
        self._path = path
        self._min_free_bytes = min_free_bytes
        self._writer: WriterThread[Connection, Item, Recorded] = WriterThread(
            f"inbox {path.stem}", File(lambda: _open(path)), self._commit
        )

    async def start(self, *, opened: bool = True) -> None:
        """See `OwnedInbox.start`."""
        try:
            await self._writer.start(opened=opened)
        except (Error, OSError) as error:
            raise _unavailable(self._path, error) from error

    async def append(self, delivery: NewDelivery) -> Recorded:
        """See `InboxWriter.append`."""
        try:
            return await self._writer.put(_to_row(delivery))
        except (Error, OSError) as error:
            raise _unavailable(self._path, error) from error

    async def prove(self, now: datetime) -> None:
        """See `InboxWriter.prove`."""
        try:
            await self._writer.put(Prove(at=to_millis(now)))
        except (Error, OSError) as error:
            raise _unavailable(self._path, error) from error

    async def prune(self, first: int, last: int) -> None:
        """See `OwnedInbox.prune`."""
        try:
            await self._writer.put(Prune(first, last))
        except (Error, OSError) as error:
            raise _unavailable(self._path, error) from error

    async def close(self) -> None:
        """Commits what waits and closes the file."""
        await self._writer.close()

    def _commit(
        self, connection: Connection, items: Sequence[Item]
    ) -> Sequence[Recorded | Exception]:
        """One durable commit for all of `items`, if that leaves room on the disk."""
        if self._min_free_bytes and not all(isinstance(item, Prune) for item in items):
            free_bytes = shutil.disk_usage(self._path.parent).free
            if free_bytes < self._min_free_bytes:
                return [_too_full(self._path, free_bytes, self._min_free_bytes)] * len(items)
        with INGEST_COMMIT_SECONDS.time():
            return write(connection, items)


class SqliteInboxReader:
    """The reading side: absorb's, and that of whoever needs a delivery again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen_version: int | None = None
        try:
            self._connection = open_reader(path)
        except Error as error:
            raise _unreadable(path, error) from error
        rows = self._ask("SELECT uuid FROM inbox")
        if not rows:
            raise InboxUnavailableError(f"the inbox {path} is still being made")
        self.uuid: str = rows[0][0]

    def changed(self) -> bool:
        """See `InboxReader.changed`."""
        try:
            version = data_version(self._connection)
        except Error as error:
            raise _unreadable(self._path, error) from error
        changed, self._seen_version = version != self._seen_version, version
        return changed

    def after(self, position: int, *, limit: int) -> Sequence[Delivery]:
        """See `InboxReader.after`."""
        rows = self._ask(
            f"SELECT position, {COLUMNS} FROM deliveries"
            " WHERE position > ? ORDER BY position LIMIT ?",
            position,
            limit,
        )
        return [_from_row(self.uuid, row) for row in rows]

    def get(self, position: int) -> Delivery | None:
        """See `InboxReader.get`."""
        rows = self._ask(f"SELECT position, {COLUMNS} FROM deliveries WHERE position = ?", position)
        return _from_row(self.uuid, rows[0]) if rows else None

    def bodies(
        self, *, above: int, upto: int, before: datetime, limit: int
    ) -> Sequence[tuple[int, bool]]:
        """See `StoredInbox.bodies`."""
        return self._ask(
            "SELECT position, body IS NOT NULL AND received_at < ? FROM deliveries"
            " WHERE position > ? AND position <= ? ORDER BY position LIMIT ?",
            to_millis(before),
            above,
            upto,
            limit,
        )

    def has_bodies(self, first: int, last: int) -> bool:
        """Whether any delivery between these positions, both included, has its body."""
        ((found,),) = self._ask(
            "SELECT EXISTS (SELECT 1 FROM deliveries"
            " WHERE position BETWEEN ? AND ? AND body IS NOT NULL)",
            first,
            last,
        )
        return bool(found)

    def last_position(self) -> int:
        """Of the newest delivery; 0 if there is none."""
        ((position,),) = self._ask("SELECT ifnull(max(position), 0) FROM deliveries")
        return int(position)

    def count_after(self, position: int) -> int:
        """How many deliveries lie beyond a position."""
        ((count,),) = self._ask("SELECT count(*) FROM deliveries WHERE position > ?", position)
        return int(count)

    def close(self) -> None:
        """Lets the file go."""
        self._connection.close()

    def _ask(self, sql: str, *values: int) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except Error as error:
            raise _unreadable(self._path, error) from error


def inbox_files(folder: Path) -> list[Path]:
    """The inbox files of a data folder; the quarantine is no inbox."""
    return sorted(path for path in folder.glob("*.db") if path.stem != "quarantine")


def _open(path: Path) -> Connection:
    # Whoever can read an inbox can read full links, each the key to a picture.
    make_folder(path.parent, mode=0o700)
    connection = open_writer(path, busy_seconds=BUSY_SECONDS)
    connection.execute("PRAGMA secure_delete=ON")  # what is pruned is gone
    connection.executescript(_SCHEMA)
    connection.execute(
        "INSERT INTO inbox SELECT ?, 0 WHERE NOT EXISTS (SELECT 1 FROM inbox)", (str(uuid.uuid4()),)
    )
    return connection


def _to_row(delivery: NewDelivery) -> tuple[Any, ...]:
    return (
        delivery.source,
        delivery.heard.value,
        delivery.path_token,
        to_millis(delivery.received_at),
        delivery.peer,
        delivery.verified_by,
        sha256(delivery.body).digest(),
        _pack(delivery.headers),
        delivery.body,
    )


def _from_row(inbox: str, row: tuple[Any, ...]) -> Delivery:
    position, source, heard, path_token, received_at, peer, verified_by, _, headers, body = row
    return Delivery(
        ref=DeliveryRef(inbox=inbox, position=position),
        source=source,
        heard=Heard(heard),
        path_token=path_token,
        received_at=from_millis(received_at),
        peer=peer,
        verified_by=verified_by,
        headers=_unpack(headers) if headers is not None else (),
        body=body,
    )


def _unreadable(path: Path, error: Error) -> InboxUnavailableError:
    return InboxUnavailableError(
        f"the inbox {path} cannot be read ({error}); what it holds is not lost: see that its disk "
        "is well and that holdfast may read it"
    )


def _too_full(path: Path, free_bytes: int, min_free_bytes: int) -> InboxUnavailableError:
    return InboxUnavailableError(
        f"the disk of {path} has {free_bytes} bytes left, and catalog.min_free_bytes keeps "
        f"{min_free_bytes}; nothing was acknowledged, the sender should try again, and the "
        "operator should free some space"
    )


def _unavailable(path: Path, error: Exception) -> InboxUnavailableError:
    return InboxUnavailableError(
        f"the inbox {path} cannot commit ({error}); nothing was acknowledged, the sender should "
        "try again, and the operator should look at the disk"
    )
