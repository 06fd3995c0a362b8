"""The catalog's tables on PostgreSQL, never edited once released: what changes is another step.

They are those of `schema`, by the same names and with the same meaning: moments are whole
milliseconds UTC in columns ending `_at`, digests are bytes. Text is ordered by its code points, as
SQLite orders it, whatever the database's own order is; `postgres_migrations` says so, and takes
the steps.
"""

from __future__ import annotations

from archiver.catalog.postgres_schema_recovery import RECOVERY
from archiver.catalog.postgres_texts import SEARCH_TABLES

# What SQLite has and PostgreSQL has not: the greater of two.
_FUNCTIONS = """
CREATE FUNCTION max(bigint, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT greatest($1, $2)'
"""

_GENERATIONS = (
    """
    CREATE TABLE generations (
        key SERIAL KEY,
        provider TEXT NOT NULL,
        id TEXT NOT NULL,
        state TEXT NOT NULL,
        service TEXT,
        params TEXT NOT NULL,               -- GenerationParams as JSON
        failure_class TEXT,
        failure_code TEXT NOT NULL DEFAULT '',
        failure_message TEXT NOT NULL DEFAULT '',
        moderated BIGINT NOT NULL,
        track_id TEXT,
        cost DOUBLE PRECISION,
        created_at BIGINT,
        completed_at BIGINT,
        first_heard_at BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        sealed_revision BIGINT NOT NULL,
        account TEXT,
        hinted_at BIGINT,
        canceled BIGINT NOT NULL DEFAULT 0,
        segmented_revision BIGINT NOT NULL DEFAULT 0,
        UNIQUE (provider, id)
    )
    """,
    """
    CREATE INDEX generations_by_state
    ON generations (provider, state, first_heard_at, account, cost)
    """,
    """
    CREATE INDEX generations_unsegmented ON generations (key)
    WHERE sealed_revision > segmented_revision
    """,
)

_SLOTS = (
    """
    CREATE TABLE slots (
        number SERIAL KEY,                  -- given once and never again
        generation BIGINT NOT NULL REFERENCES generations (key),
        slot_index BIGINT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        failure_class TEXT,
        failure_code TEXT NOT NULL DEFAULT '',
        failure_message TEXT NOT NULL DEFAULT '',
        role TEXT NOT NULL DEFAULT '',
        asked BIGINT NOT NULL DEFAULT 0,
        undrawn TEXT,
        UNIQUE (generation, slot_index)
    )
    """,
    # A number that was given by hand, as a rebuild gives it, counts as given, too.
    """
    CREATE FUNCTION count_number() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.number > coalesce(pg_sequence_last_value('slots_number_seq'), 0) THEN
            PERFORM setval('slots_number_seq', NEW.number);
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER slots_counted AFTER INSERT ON slots
    FOR EACH ROW EXECUTE FUNCTION count_number()
    """,
    "CREATE INDEX slots_by_state ON slots (state)",
    "CREATE INDEX slots_amiss ON slots (state, reason) WHERE state = 'held' OR state = 'dead'",
    """
    CREATE TABLE links (
        slot BIGINT NOT NULL REFERENCES slots (number),
        url_sha256 BYTEA NOT NULL,
        location TEXT NOT NULL,             -- the URL without user, query and fragment
        host TEXT NOT NULL,
        expires_at BIGINT NOT NULL,
        inbox TEXT NOT NULL,                -- the delivery that holds the full URL
        position BIGINT NOT NULL,
        failure_class TEXT,
        failure_code TEXT NOT NULL DEFAULT '',
        failure_message TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (slot, url_sha256)
    )
    """,
    """
    CREATE TABLE assets (
        slot BIGINT NOT NULL REFERENCES slots (number),
        origin TEXT NOT NULL,
        sha256 BYTEA NOT NULL,
        blob_key TEXT NOT NULL,
        size_bytes BIGINT NOT NULL,
        media_type TEXT NOT NULL,
        width BIGINT,
        height BIGINT,
        archived_at BIGINT NOT NULL,
        rendering TEXT,
        PRIMARY KEY (slot, origin)
    )
    """,
    "CREATE INDEX assets_by_sha256 ON assets (sha256)",
)

# Of the queue each part has an index that holds nothing else.
_JOBS = (
    """
    CREATE TABLE jobs (
        id SERIAL KEY,
        kind TEXT NOT NULL,
        subject BIGINT NOT NULL,
        target TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        host TEXT NOT NULL,
        deadline_at BIGINT,
        run_at BIGINT,
        attempts BIGINT NOT NULL DEFAULT 0,
        crashes BIGINT NOT NULL DEFAULT 0,
        first_attempt_at BIGINT,
        leased_by TEXT,
        lease_until BIGINT,
        fence BIGINT NOT NULL DEFAULT 0,
        wanted_at BIGINT NOT NULL,
        finished_at BIGINT,
        UNIQUE (kind, subject)
    )
    """,
    """
    CREATE INDEX jobs_available ON jobs (kind, deadline_at NULLS FIRST, id)
    WHERE state = 'available'
    """,
    "CREATE INDEX jobs_scheduled ON jobs (run_at, kind, deadline_at) WHERE state = 'scheduled'",
    "CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running'",
    """
    CREATE INDEX jobs_amiss ON jobs (kind, state, deadline_at)
    WHERE state = 'held' OR state = 'discarded'
    """,
)

_DELIVERIES = (
    """
    CREATE TABLE inbox_positions
    (inbox TEXT PRIMARY KEY, position BIGINT NOT NULL, received_at BIGINT)
    """,
    """
    CREATE TABLE observations (
        inbox TEXT NOT NULL,
        position BIGINT NOT NULL,
        generation BIGINT NOT NULL REFERENCES generations (key),
        heard TEXT NOT NULL,
        state TEXT NOT NULL,
        received_at BIGINT NOT NULL,
        PRIMARY KEY (inbox, position, generation)
    )
    """,
    "CREATE INDEX observations_by_generation ON observations (generation)",
    """
    CREATE TABLE unparsed (
        inbox TEXT NOT NULL,
        position BIGINT NOT NULL,
        source TEXT NOT NULL,
        reason TEXT NOT NULL,
        received_at BIGINT NOT NULL,
        PRIMARY KEY (inbox, position)
    )
    """,
    """
    CREATE TABLE replays (
        id SERIAL KEY,
        inbox TEXT NOT NULL,
        position BIGINT NOT NULL,
        asked_at BIGINT NOT NULL
    )
    """,
    "CREATE TABLE heartbeats (role TEXT PRIMARY KEY, beat_at BIGINT NOT NULL)",
    """
    CREATE TABLE prunings (
        inbox TEXT NOT NULL,
        first BIGINT NOT NULL,
        last BIGINT NOT NULL,
        ready BIGINT NOT NULL,
        PRIMARY KEY (inbox, first, last)
    )
    """,
    """
    CREATE TABLE balances (
        provider TEXT NOT NULL,
        account TEXT NOT NULL,
        credits DOUBLE PRECISION NOT NULL,
        required DOUBLE PRECISION NOT NULL,
        heard_at BIGINT NOT NULL,
        PRIMARY KEY (provider, account)
    )
    """,
)

_CARDS = (
    """
    CREATE TABLE cards (
        number BIGINT PRIMARY KEY REFERENCES slots (number),
        provider TEXT NOT NULL,
        generation_id TEXT NOT NULL,
        slot_index BIGINT NOT NULL,
        service TEXT,
        model TEXT,
        version TEXT,
        generation_state TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        origin TEXT,
        scheduler TEXT,
        media_type TEXT,
        width BIGINT,
        height BIGINT,
        steps BIGINT,
        guidance_scale DOUBLE PRECISION,
        seed BIGINT,
        cost_micros BIGINT,
        size_bytes BIGINT,
        sha256 BYTEA,
        track_id TEXT,
        created_at BIGINT NOT NULL,
        completed_at BIGINT,
        archived_at BIGINT,
        first_heard_at BIGINT NOT NULL,
        drawn BIGINT NOT NULL,
        flagged BIGINT NOT NULL,
        moderated BIGINT NOT NULL,
        damaged BIGINT NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX cards_by_size ON cards (coalesce(size_bytes, -1), number)",
    "CREATE INDEX cards_by_cost ON cards (coalesce(cost_micros, -1), number)",
    "CREATE INDEX cards_by_sha256 ON cards (sha256) WHERE sha256 IS NOT NULL",
    """
    CREATE TABLE card_values (
        name TEXT NOT NULL,
        value DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (name, value)
    )
    """,
    """
    CREATE TABLE previews (
        id SERIAL KEY,
        sha256 BYTEA NOT NULL UNIQUE,
        phash BIGINT,
        width BIGINT,
        height BIGINT,
        reason TEXT NOT NULL DEFAULT ''
    )
    """,
)

CATALOG = (
    *(_FUNCTIONS, *_GENERATIONS, *_SLOTS, *_JOBS, *_DELIVERIES),
    *(*_CARDS, *SEARCH_TABLES, *RECOVERY),
)
