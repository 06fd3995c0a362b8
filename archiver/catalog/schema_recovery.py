"""The catalog's step for what is rebuilt and forgotten; `schema` says what holds for all."""

from __future__ import annotations

from sqlite_utils import Database

_STATEMENTS = (
    # The revision that a segment in the bucket shows.
    "ALTER TABLE generations ADD COLUMN segmented_revision INTEGER NOT NULL DEFAULT 0",
    """
    CREATE INDEX generations_unsegmented ON generations (key)
    WHERE sealed_revision > segmented_revision
    """,
    """
    CREATE TABLE tombstones (
        key TEXT PRIMARY KEY,               -- of the object in the bucket that says the same
        name_sha256 BLOB NOT NULL,
        slot_index INTEGER,                 -- NULL: the whole generation
        forgotten_at INTEGER NOT NULL,
        reason TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX tombstones_by_name ON tombstones (name_sha256)",
    # Objects of what was forgotten that still have to vanish from the bucket.
    "CREATE TABLE erasures (key TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE prunings (                 -- bodies that the owner of an inbox is to take out
        inbox TEXT NOT NULL,
        first INTEGER NOT NULL,             -- both positions included
        last INTEGER NOT NULL,
        ready INTEGER NOT NULL,             -- 0: some link in them is still to be fetched
        PRIMARY KEY (inbox, first, last)
    ) STRICT, WITHOUT ROWID
    """,
)


def recovery(db: Database) -> None:
    """Segments, tombstones, and what is to vanish."""
    for statement in _STATEMENTS:
        db.execute(statement)
