"""The catalog's step for what the operator's software is told; `schema` says what holds for all."""

from __future__ import annotations

from sqlite_utils import Database

_STATEMENTS = (
    # Of which there are none while nobody is to be told.
    "CREATE TABLE wanted_events (event TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE notices (                  -- each is told once: its number is its job's subject
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        generation INTEGER NOT NULL REFERENCES generations (key),
        event TEXT NOT NULL,
        happened_at INTEGER NOT NULL,
        UNIQUE (generation, event)
    ) STRICT
    """,
)


def notices(db: Database) -> None:
    """Tables that stay empty until the configuration says whom to tell."""
    for statement in _STATEMENTS:
        db.execute(statement)
