"""The quarantine's file: its tables, what is written at once, and what has to go for want of room.

What no secret could ever verify goes first, the oldest before the others; what a person's word has
verified since stays until the receiving process has taken it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archiver.log import logger
from archiver.sqlite import Connection, Error, is_damage, open_writer

MAX_ROWS = 100_000
MAX_BYTES = 64 << 20

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
CREATE TABLE IF NOT EXISTS dropped (
    why TEXT PRIMARY KEY, count INTEGER NOT NULL, last_at INTEGER NOT NULL
) STRICT;
"""
# Files that an older version began have not all of these.
_LATER_COLUMNS = {
    "last_at": "INTEGER NOT NULL DEFAULT 0",  # the same once more
    "hopeless": "INTEGER NOT NULL DEFAULT 0",  # no secret could verify it
    "verified_by": "TEXT",  # by a person's word, since (`verified`)
}
_INDEXES = """
CREATE INDEX IF NOT EXISTS rejected_in_order ON rejected (hopeless DESC, id);
CREATE INDEX IF NOT EXISTS rejected_verified ON rejected (id) WHERE verified_by IS NOT NULL;
"""

_INSERT = """
INSERT INTO rejected (source, path_token, received_at, peer, reason, hopeless, sha256, headers,
    body)
VALUES (?,?,?,?,?,?,?,?,?)
ON CONFLICT (sha256) DO UPDATE SET last_at=excluded.received_at, reason=excluded.reason,
    hopeless=excluded.hopeless
"""
_RECEIVED_AT = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """Stands in a batch for so many copies that were not kept."""

    why: str
    count: int
    last_at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LetGo:
    """Stands in a batch for rows that are no longer needed."""

    ids: Sequence[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class TooOld:
    """Stands in a batch for all that came before a moment, and that nobody has verified since."""

    before: int


Item = tuple[Any, ...] | Dropped | LetGo | TooOld


def open_file(path: Path) -> Connection:
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
    bring_up_to_date(connection)
    return connection


def bring_up_to_date(connection: Connection) -> None:
    """Makes what is missing of the file's tables."""
    connection.executescript(_SCHEMA)
    known = {row[1] for row in connection.execute("PRAGMA table_info(rejected)")}
    for name, column in _LATER_COLUMNS.items():
        if name not in known:
            connection.execute(f"ALTER TABLE rejected ADD COLUMN {name} {column}")
    connection.executescript(_INDEXES)


def commit(connection: Connection, items: Sequence[Item]) -> Sequence[None]:
    rows = [item for item in items if isinstance(item, tuple)]
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_INSERT, rows)
    for item in items:
        if isinstance(item, Dropped):
            _count_dropped(connection, item)
        elif isinstance(item, LetGo):
            connection.executemany("DELETE FROM rejected WHERE id=?", [(it,) for it in item.ids])
        elif isinstance(item, TooOld):
            connection.execute(
                "DELETE FROM rejected WHERE received_at < ? AND last_at < ?"
                " AND verified_by IS NULL",
                (item.before, item.before),
            )
    trimmed = _trim_rows(connection) + _trim_bytes(connection)
    if trimmed and rows:
        last_at = rows[-1][_RECEIVED_AT]
        _count_dropped(connection, Dropped(why="too old", count=trimmed, last_at=last_at))
    connection.execute("COMMIT")
    return [None] * len(items)


def _count_dropped(connection: Connection, dropped: Dropped) -> None:
    connection.execute(
        "INSERT INTO dropped VALUES (?,?,?) ON CONFLICT (why) DO UPDATE SET"
        " count = count + excluded.count, last_at = excluded.last_at",
        (dropped.why, dropped.count, dropped.last_at),
    )


def _trim_rows(connection: Connection) -> int:
    """Lets those go that are too many, the hopeless before the others, the oldest first."""
    (count,) = connection.execute("SELECT count(*) FROM rejected").fetchone()
    if count <= MAX_ROWS:
        return 0
    return connection.execute(
        "DELETE FROM rejected WHERE id IN (SELECT id FROM rejected WHERE verified_by IS NULL"
        " ORDER BY hopeless DESC, id LIMIT ?)",
        (count - MAX_ROWS,),
    ).rowcount


def _trim_bytes(connection: Connection) -> int:
    """The same for what does not fit; measured by the file's pages, which costs nothing."""
    pages, free, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    if (pages - free) * page_bytes <= MAX_BYTES:
        return 0
    return connection.execute(
        "DELETE FROM rejected WHERE id IN (SELECT id FROM (SELECT id,"
        " sum(length(body) + length(headers) + 200)"
        " OVER (ORDER BY verified_by IS NULL, hopeless, id DESC) AS kept_bytes"
        " FROM rejected) WHERE kept_bytes > ?)",
        (MAX_BYTES * 3 // 4,),
    ).rowcount
