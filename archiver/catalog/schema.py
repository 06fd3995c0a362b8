"""The catalog's tables, as numbered steps that are never edited once released, only added to.

Conventions: moments are whole milliseconds UTC in columns ending `_at`; enumerations are their
text values; digests are BLOBs; every table is STRICT. The full URL of a link is in no table.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from archiver.catalog.schema_later import LATER_STEPS
from archiver.durable import make_folder
from archiver.sqlite import open_writer

catalog = Migrations("catalog")

_GENERATIONS = """
CREATE TABLE generations (
    key INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    service TEXT,
    params TEXT NOT NULL,               -- GenerationParams as JSON
    failure_class TEXT,
    failure_code TEXT NOT NULL DEFAULT '',
    failure_message TEXT NOT NULL DEFAULT '',
    moderated INTEGER NOT NULL,
    track_id TEXT,
    cost REAL,
    created_at INTEGER,
    completed_at INTEGER,
    first_heard_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,          -- grows with every change
    sealed_revision INTEGER NOT NULL,   -- the one its manifest in the bucket shows
    UNIQUE (provider, id)
) STRICT
"""

# AUTOINCREMENT: an archive number is given once and never again, not even after a deletion.
_SLOTS = """
CREATE TABLE slots (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    generation INTEGER NOT NULL REFERENCES generations (key),
    slot_index INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    failure_class TEXT,
    failure_code TEXT NOT NULL DEFAULT '',
    failure_message TEXT NOT NULL DEFAULT '',
    UNIQUE (generation, slot_index)
) STRICT
"""

_LINKS = """
CREATE TABLE links (
    slot INTEGER NOT NULL REFERENCES slots (number),
    url_sha256 BLOB NOT NULL,
    location TEXT NOT NULL,             -- the URL without user, query and fragment
    host TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    inbox TEXT NOT NULL,                -- the delivery that holds the full URL
    position INTEGER NOT NULL,
    failure_class TEXT,
    failure_code TEXT NOT NULL DEFAULT '',
    failure_message TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (slot, url_sha256)
) STRICT, WITHOUT ROWID
"""

_ASSETS = """
CREATE TABLE assets (
    slot INTEGER NOT NULL REFERENCES slots (number),
    origin TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    blob_key TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    width INTEGER,
    height INTEGER,
    archived_at INTEGER NOT NULL,
    PRIMARY KEY (slot, origin)
) STRICT, WITHOUT ROWID
"""

_JOBS = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    subject INTEGER NOT NULL,           -- fetch, render: slots.number; seal, poll: generations.key
    target TEXT NOT NULL,               -- the very thing to do; another target re-arms the row
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    host TEXT NOT NULL,
    deadline_at INTEGER,
    run_at INTEGER,                     -- of a scheduled job: not before
    attempts INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0, -- leases that ran out under a dead worker
    first_attempt_at INTEGER,
    leased_by TEXT,
    lease_until INTEGER,
    fence INTEGER NOT NULL DEFAULT 0,   -- grows with every claim; a stale one finishes nothing
    wanted_at INTEGER NOT NULL,
    finished_at INTEGER,
    UNIQUE (kind, subject)
) STRICT
"""

_DELIVERIES = (
    "CREATE TABLE inbox_positions (inbox TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT",
    """
    CREATE TABLE observations (          -- which delivery said what of which generation
        inbox TEXT NOT NULL,
        position INTEGER NOT NULL,
        generation INTEGER NOT NULL REFERENCES generations (key),
        heard TEXT NOT NULL,
        state TEXT NOT NULL,
        received_at INTEGER NOT NULL,
        PRIMARY KEY (inbox, position, generation)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE unparsed (              -- authentic, but not understood; nothing is lost
        inbox TEXT NOT NULL,
        position INTEGER NOT NULL,
        source TEXT NOT NULL,
        reason TEXT NOT NULL,
        received_at INTEGER NOT NULL,
        PRIMARY KEY (inbox, position)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE replays (               -- deliveries to absorb once more, drained first
        id INTEGER PRIMARY KEY,
        inbox TEXT NOT NULL,
        position INTEGER NOT NULL,
        asked_at INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE TABLE heartbeats (role TEXT PRIMARY KEY, beat_at INTEGER NOT NULL) STRICT",
)

_INDEXES = (
    "CREATE INDEX slots_by_state ON slots (state)",
    "CREATE INDEX assets_by_sha256 ON assets (sha256)",
    "CREATE INDEX observations_by_generation ON observations (generation)",
    "CREATE INDEX jobs_available ON jobs (kind, deadline_at, id) WHERE state = 'available'",
    "CREATE INDEX jobs_scheduled ON jobs (run_at) WHERE state = 'scheduled'",
    "CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running'",
)


@catalog(name="001_spine")
def _spine(db: Database) -> None:
    tables = (_GENERATIONS, _SLOTS, _LINKS, _ASSETS, _JOBS, *_DELIVERIES)
    for statement in (*tables, *_INDEXES):
        db.execute(statement)


@catalog(name="002_search")
def _search(db: Database) -> None:
    # The text lives in a narrow table of its own, so that a change of state rewrites no index.
    db.execute(
        "CREATE TABLE texts (number INTEGER PRIMARY KEY REFERENCES slots (number),"
        " prompt TEXT NOT NULL, neg TEXT NOT NULL, about TEXT NOT NULL) STRICT"
    )
    # Segmented in Python (`segment`), so the tokenizer has only spaces to split on.
    db.table("texts").enable_fts(["prompt", "neg", "about"], tokenize="ascii", create_triggers=True)


@catalog(name="003_reconciler")
def _reconciler(db: Database) -> None:
    for column in (
        "generations ADD COLUMN account TEXT",  # a keyed fingerprint, never a key
        "generations ADD COLUMN hinted_at INTEGER",
        "slots ADD COLUMN role TEXT NOT NULL DEFAULT ''",  # of an input; '' of an output
        "slots ADD COLUMN asked INTEGER NOT NULL DEFAULT 0",
    ):
        db.execute(f"ALTER TABLE {column}")


@catalog(name="004_credits")
def _credits(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE balances (
            provider TEXT NOT NULL,
            account TEXT NOT NULL,       -- a keyed fingerprint; '' where no key was shown
            credits REAL NOT NULL,
            required REAL NOT NULL,      -- what the refused request would have cost
            heard_at INTEGER NOT NULL,
            PRIMARY KEY (provider, account)
        ) STRICT, WITHOUT ROWID
        """
    )


@catalog(name="005_render")
def _render(db: Database) -> None:
    db.execute("ALTER TABLE assets ADD COLUMN rendering TEXT")  # Rendering as JSON, if drawn here
    db.execute("ALTER TABLE slots ADD COLUMN undrawn TEXT")  # Undrawn as JSON
    db.execute(
        "UPDATE jobs SET state='available', reason=''"
        " WHERE kind='render' AND state='held' AND reason='no renderer'"
    )


_CARDS = """
CREATE TABLE cards (                    -- see archiver/cards.py; filled by archiver/ledger.py
    number INTEGER PRIMARY KEY REFERENCES slots (number),
    provider TEXT NOT NULL,
    generation_id TEXT NOT NULL,
    slot_index INTEGER NOT NULL,
    service TEXT,
    model TEXT,
    version TEXT,
    generation_state TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    origin TEXT,
    scheduler TEXT,
    media_type TEXT,
    width INTEGER,
    height INTEGER,
    steps INTEGER,
    guidance_scale REAL,
    seed INTEGER,
    cost_micros INTEGER,
    size_bytes INTEGER,
    sha256 BLOB,
    track_id TEXT,
    created_at INTEGER NOT NULL,
    completed_at INTEGER,
    archived_at INTEGER,
    first_heard_at INTEGER NOT NULL,
    drawn INTEGER NOT NULL,
    flagged INTEGER NOT NULL,
    moderated INTEGER NOT NULL
) STRICT
"""

_CARD_INDEXES = (
    "CREATE INDEX cards_by_size ON cards (ifnull(size_bytes, -1), number)",
    "CREATE INDEX cards_by_cost ON cards (ifnull(cost_micros, -1), number)",
    "CREATE INDEX cards_by_sha256 ON cards (sha256) WHERE sha256 IS NOT NULL",
)

# Every value that some column of numbers has or had; never taken out.
_CARD_VALUES = """
CREATE TABLE card_values (
    name TEXT NOT NULL, value ANY NOT NULL, PRIMARY KEY (name, value)
) STRICT, WITHOUT ROWID
"""


@catalog(name="006_cards")
def _cards(db: Database) -> None:
    for statement in (_CARDS, *_CARD_INDEXES, _CARD_VALUES):
        db.execute(statement)
    # Facet tokens stand beside the text in one index, so that words and fields are one merge.
    db.table("texts").disable_fts()
    db.execute("ALTER TABLE texts ADD COLUMN facets TEXT NOT NULL DEFAULT ''")
    db.table("texts").enable_fts(
        ["prompt", "neg", "about", "facets"],
        tokenize="ascii tokenchars '_'",
        create_triggers=True,
    )
    db.table("texts").populate_fts(["prompt", "neg", "about", "facets"])


@catalog(name="007_canceled")
def _canceled(db: Database) -> None:
    db.execute("ALTER TABLE generations ADD COLUMN canceled INTEGER NOT NULL DEFAULT 0")
    db.execute("UPDATE generations SET canceled = 1 WHERE state = 'canceled'")


for _name, _step in LATER_STEPS:
    catalog(name=_name)(_step)


def steps() -> tuple[str, ...]:
    """What the newest schema is made of, in this order."""
    return tuple(step.name for step in catalog.pending(Database(memory=True)))


def migrate(path: Path) -> None:
    """Brings the catalog file to the newest schema, made if missing; one process at a time."""
    make_folder(path.parent)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection = open_writer(path)
        try:
            catalog.apply(Database(connection, execute_plugins=False))
        finally:
            connection.close()
