"""The tables of what is forgotten, audited and told, on PostgreSQL; see `postgres_schema`."""

from __future__ import annotations

RECOVERY = (
    """
    CREATE TABLE tombstones (
        key TEXT PRIMARY KEY,
        name_sha256 BYTEA NOT NULL,
        slot_index BIGINT,
        forgotten_at BIGINT NOT NULL,
        reason TEXT NOT NULL
    )
    """,
    "CREATE INDEX tombstones_by_name ON tombstones (name_sha256)",
    "CREATE TABLE erasures (key TEXT PRIMARY KEY)",
    """
    CREATE TABLE fixity (
        sha256 BYTEA PRIMARY KEY,
        checked_at BIGINT NOT NULL,
        how TEXT NOT NULL,
        outcome TEXT NOT NULL,
        reason TEXT NOT NULL,
        mended_at BIGINT
    )
    """,
    "CREATE INDEX fixity_amiss ON fixity (outcome) WHERE outcome <> 'ok'",
    """
    CREATE TABLE audits (
        id SERIAL KEY,
        how TEXT NOT NULL,
        sample TEXT NOT NULL,
        seed BYTEA NOT NULL,
        begun_at BIGINT NOT NULL,
        ended_at BIGINT,
        reached BYTEA NOT NULL,
        checked BIGINT NOT NULL DEFAULT 0
    )
    """,
    "CREATE TABLE wanted_events (event TEXT PRIMARY KEY)",
    """
    CREATE TABLE notices (
        number SERIAL KEY,
        generation BIGINT NOT NULL REFERENCES generations (key),
        event TEXT NOT NULL,
        happened_at BIGINT NOT NULL,
        UNIQUE (generation, event)
    )
    """,
)
