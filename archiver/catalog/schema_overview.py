"""The catalog's step for what an operator sees at a glance; `schema` says what holds for all."""

from __future__ import annotations

from sqlite_utils import Database

_STATEMENTS = (
    # Counts by provider and state, how long what is under way has been so, and what a time cost.
    """
    CREATE INDEX generations_by_state
    ON generations (provider, state, first_heard_at, account, cost)
    """,
    "CREATE INDEX slots_amiss ON slots (state, reason) WHERE state = 'held' OR state = 'dead'",
    # The same rows in the same order; what is asked of all of them need not look any of them up.
    "DROP INDEX jobs_scheduled",
    """
    CREATE INDEX jobs_scheduled ON jobs (run_at, kind, deadline_at) WHERE state = 'scheduled'
    """,
)


def overview(db: Database) -> None:
    """Indexes by which an archive of any size is seen at a glance."""
    for statement in _STATEMENTS:
        db.execute(statement)
