"""The later of the catalog's steps, in their order; `schema` says what holds for all of them."""

from __future__ import annotations

from sqlite_utils import Database

from archiver.catalog.schema_notices import notices
from archiver.catalog.schema_overview import overview
from archiver.catalog.schema_recovery import recovery

_PREVIEWS = """
CREATE TABLE previews (                 -- of a picture's bytes, whichever slots they lie in
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 BLOB NOT NULL UNIQUE,
    phash INTEGER,                      -- 64 bits
    width INTEGER,                      -- of the thumbnail
    height INTEGER,
    reason TEXT NOT NULL DEFAULT ''     -- why there is none
) STRICT
"""

# Of what an older version archived, the newest first; the provider's own picture leads. What comes
# in meanwhile has no deadline, so it goes before all that have one, be it the end of time.
_DERIVE_ALL = """
INSERT OR IGNORE INTO jobs (kind, subject, target, state, reason, host, wanted_at, deadline_at)
SELECT 'derive', slot, lower(hex(sha256)), 'available', '', '', archived_at, 253402300799000
FROM assets JOIN slots ON slots.number = slot
WHERE role = '' AND media_type LIKE 'image/%' AND (origin = 'provider' OR slot NOT IN (
    SELECT slot FROM assets WHERE origin = 'provider'))
ORDER BY slot DESC
"""


def _previews(db: Database) -> None:
    for statement in (_PREVIEWS, _DERIVE_ALL):
        db.execute(statement)


# Of an object's bytes, whichever slots they lie in; `audits` are the runs that looked at them.
_FIXITY = (
    """
    CREATE TABLE fixity (
        sha256 BLOB PRIMARY KEY,
        checked_at INTEGER NOT NULL,
        how TEXT NOT NULL,              -- head, or bytes
        outcome TEXT NOT NULL,
        reason TEXT NOT NULL,           -- what was found amiss, be it mended or not
        mended_at INTEGER
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX fixity_amiss ON fixity (outcome) WHERE outcome <> 'ok'",
    """
    CREATE TABLE audits (
        id INTEGER PRIMARY KEY,
        how TEXT NOT NULL,
        sample TEXT NOT NULL,           -- as it was asked for; '' for everything
        seed BLOB NOT NULL,             -- which objects a sample has
        begun_at INTEGER NOT NULL,
        ended_at INTEGER,
        reached BLOB NOT NULL,          -- all up to this digest are done
        checked INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    "ALTER TABLE cards ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0",
    # Of the delivery at that position, by which an inbox is known that is not what it was.
    "ALTER TABLE inbox_positions ADD COLUMN received_at INTEGER",
)


def _fixity(db: Database) -> None:
    for statement in _FIXITY:
        db.execute(statement)


# So that what is held or given up is found among millions of jobs that are done.
_AMISS = """
CREATE INDEX jobs_amiss ON jobs (kind, state, deadline_at)
WHERE state = 'held' OR state = 'discarded'
"""


def _amiss(db: Database) -> None:
    db.execute(_AMISS)


LATER_STEPS = (
    ("008_previews", _previews),
    ("009_recovery", recovery),
    ("010_fixity", _fixity),
    ("011_notices", notices),
    ("012_amiss", _amiss),
    ("013_overview", overview),
)
