"""The inboxes' tables on PostgreSQL, as numbered steps that are never edited once released, only
added to; each leaves a database that older nodes can go on with, for nodes are renewed in turn.

Conventions: moments are whole milliseconds UTC in columns ending `_at`; enumerations are their
text values; text that strangers choose is its bytes in UTF-8, for PostgreSQL's text has no U+0000.
"""

from __future__ import annotations

from archiver.postgres import Connection

_INBOXES = """
CREATE TABLE inboxes (
    uuid UUID PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    proved_at BIGINT NOT NULL
)
"""

# Nothing deletes a row, so the greatest position of an inbox is the last that was given.
_DELIVERIES = """
CREATE TABLE deliveries (
    inbox UUID NOT NULL,
    position BIGINT NOT NULL,
    source BYTEA NOT NULL,
    heard TEXT NOT NULL,
    path_token BYTEA NOT NULL,
    received_at BIGINT NOT NULL,
    peer BYTEA NOT NULL,
    verified_by BYTEA NOT NULL,
    sha256 BYTEA NOT NULL,
    headers BYTEA,
    body BYTEA,
    PRIMARY KEY (inbox, position)
)
"""

# Of all inboxes together: a redelivery comes to whichever receiver the balancer picks. The token's
# digest, because a row of an index has 2,704 bytes and a stranger's path may have more.
_ONCE = """
CREATE UNIQUE INDEX deliveries_once
    ON deliveries (sha256, sha256(path_token), source, heard)
"""

# What came from two files, and had been taken in by both. Whoever asks `deliveries` is answered out
# of this table, too; the index by which a delivery is known again is not this one's.
DOUBLES = "deliveries_twice"
_DOUBLES = f"""
CREATE TABLE IF NOT EXISTS {DOUBLES} (PRIMARY KEY (inbox, position)) INHERITS (deliveries)
"""

_STEPS: tuple[tuple[str, ...], ...] = ((_INBOXES, _DELIVERIES, _ONCE),)

_LOCK = int.from_bytes(b"holdfast")


def make_tables(connection: Connection) -> None:
    """Takes the steps that a database has not taken yet; many nodes may ask at once.

    A database that is up to date is only read. Raises Error.
    """
    if _steps_taken(connection) >= len(_STEPS):
        return
    connection.execute("BEGIN")
    connection.execute("SELECT pg_advisory_xact_lock(?)", (_LOCK,))
    connection.execute("CREATE TABLE IF NOT EXISTS inbox_steps (step INTEGER PRIMARY KEY)")
    for step, statements in enumerate(_STEPS[_steps_taken(connection) :], _steps_taken(connection)):
        for statement in statements:
            connection.execute(statement)
        connection.execute("INSERT INTO inbox_steps VALUES (?)", (step,))
    connection.execute("COMMIT")


def make_doubles(connection: Connection) -> None:
    """Makes the table of those deliveries that another inbox has as well; raises Error."""
    connection.execute(_DOUBLES)


def _steps_taken(connection: Connection) -> int:
    asked = connection.execute("SELECT to_regclass('inbox_steps') IS NOT NULL")
    if asked.fetchall() == [(False,)]:
        return 0
    ((taken,),) = connection.execute("SELECT count(*) FROM inbox_steps").fetchall()
    return int(taken)
