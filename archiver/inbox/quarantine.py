"""Rejected requests, kept for a while so that they can be verified again once a secret is mended.

Nothing here was acknowledged and anyone may have sent it, so it is bounded in every direction
and never waits for the disk: a full queue or a full file drops, and no sender notices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from archiver.log import logger
from archiver.moments import from_millis, to_millis
from archiver.sqlite import Connection, Error, is_damage, open_reader, open_writer
from archiver.writer import WriterThread

MAX_ROWS = 100_000
MAX_BYTES = 64 << 20
MAX_WAITING = 256
# One address may not push everyone else's requests out; a night of a real provider's has room.
MAX_BYTES_PER_PEER = 2 << 20
PEER_WINDOW = timedelta(minutes=10)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rejected (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    path_token TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    peer TEXT NOT NULL,
    reason TEXT NOT NULL,
    sha256 BLOB NOT NULL UNIQUE,        -- of headers and body: a forger's copy replaces no original
    headers BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
"""

_INSERT = """
INSERT INTO rejected (source, path_token, received_at, peer, reason, sha256, headers, body)
VALUES (?,?,?,?,?,?,?,?)
ON CONFLICT (sha256) DO UPDATE SET received_at=excluded.received_at, reason=excluded.reason
"""

_pack = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A request that was refused for its signature; fields as in `models.Delivery`."""

    source: str
    path_token: str
    received_at: datetime
    peer: str
    reason: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Quarantine:
    """The quarantine file of the receiving process, its only writer."""

    def __init__(self, path: Path) -> None:
        self._writer: WriterThread[tuple[Any, ...], None] = WriterThread(
            "quarantine", lambda: _open(path), _commit
        )
        self._bytes_of: Counter[str] = Counter()
        self._window_ends_at: datetime | None = None

    async def start(self) -> None:
        """Begins to take copies; a disk that fails now must not keep webhooks from coming in."""
        await self._writer.start(opened=False)

    def offer(self, rejected: Rejected) -> bool:
        """Keeps a copy if there is room for it; never waits and never fails."""
        row = _to_row(rejected)
        size_bytes = sum(len(value) for value in row if isinstance(value, bytes))
        if not self._admits(rejected.peer, size_bytes, rejected.received_at):
            return False
        future = self._writer.put(row)
        future.add_done_callback(lambda done: done.exception())  # a lost copy is no one's error
        return True

    async def close(self) -> None:
        """Writes what waits and closes the file."""
        await self._writer.close()

    def _admits(self, peer: str, size_bytes: int, now: datetime) -> bool:
        if self._window_ends_at is None or now >= self._window_ends_at:
            self._bytes_of.clear()
            self._window_ends_at = now + PEER_WINDOW
        used_bytes = self._bytes_of[peer] + size_bytes
        if self._writer.backlog >= MAX_WAITING or used_bytes > MAX_BYTES_PER_PEER:
            return False
        self._bytes_of[peer] = used_bytes
        return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """How many requests of a source wait for one reason, and when the newest came."""

    source: str
    reason: str
    count: int
    last_at: datetime


def refused(path: Path) -> Sequence[Refused]:
    """What waits in a quarantine file, the latest trouble first; nothing if it cannot be read."""
    if not path.exists():
        return []
    try:
        with closing(open_reader(path)) as connection:
            rows = connection.execute(
                "SELECT source, reason, count(*), max(received_at) FROM rejected"
                " GROUP BY source, reason ORDER BY max(received_at) DESC"
            ).fetchall()
    except Error:
        return []  # being made just now, or damaged: its writer begins it anew
    return [
        Refused(source=source, reason=reason, count=count, last_at=from_millis(last_at))
        for source, reason, count, last_at in rows
    ]


def _open(path: Path) -> Connection:
    """The file, made anew if it is damaged: nobody was promised what it held."""
    try:
        return _open_once(path)
    except Error as error:
        if not is_damage(error):
            raise
        logger().error("the quarantine is damaged and begun anew", error=str(error))
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        return _open_once(path)


def _open_once(path: Path) -> Connection:
    # OFF: nobody was promised that these survive a power cut, so no fsync is spent on strangers.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = open_writer(path, synchronous="OFF")
    connection.executescript(_SCHEMA)
    return connection


def _commit(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> Sequence[None]:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_INSERT, rows)
    connection.execute(
        "DELETE FROM rejected WHERE id <= (SELECT max(id) FROM rejected) - ?", (MAX_ROWS,)
    )
    _trim_bytes(connection)
    connection.execute("COMMIT")
    return [None] * len(rows)


def _trim_bytes(connection: Connection) -> None:
    """Lets the oldest go that do not fit; measured by the file's pages, which costs nothing."""
    pages, free, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    if (pages - free) * page_bytes > MAX_BYTES:
        connection.execute(
            "DELETE FROM rejected WHERE id IN (SELECT id FROM (SELECT id,"
            " sum(length(body) + length(headers) + 200) OVER (ORDER BY id DESC) AS kept_bytes"
            " FROM rejected) WHERE kept_bytes > ?)",
            (MAX_BYTES * 3 // 4,),
        )


def _to_row(rejected: Rejected) -> tuple[Any, ...]:
    headers = _pack(rejected.headers)
    return (
        rejected.source,
        rejected.path_token,
        to_millis(rejected.received_at),
        rejected.peer,
        rejected.reason,
        sha256(headers + rejected.body).digest(),
        headers,
        rejected.body,
    )
