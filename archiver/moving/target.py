"""The database that an archive is moved to: made ready for it, and handed over when all is there.

Until then its rows refer to each other unchecked, for they are copied while they change.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from archiver import moves
from archiver.catalog.postgres_store import PostgresStore
from archiver.errors import LedElsewhereError, MoveError
from archiver.inbox.postgres_tables import make_tables
from archiver.moves import Move, known_move
from archiver.moving.source import Source
from archiver.moving.tables import TABLES
from archiver.postgres import Connection, Error, commit, said

# What no archive that has heard anything is without.
_TELLING = ("generations", "observations", "deliveries", "tombstones")

_REFERENCES = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype = 'f' AND conrelid = ANY(?::regclass[])
"""
_SEQUENCES = """
SELECT relname, attname, pg_get_serial_sequence(relname, attname)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE attidentity <> '' AND attrelid = ANY(?::regclass[])
"""
_TAKEN = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_NAMES = [table.name for table in TABLES]


@contextmanager
def led(url: str) -> Iterator[Connection]:
    """A connection beside which no other moves anything there, nor any archive role works.

    Raises MoveError if one does, or if the server cannot be used; so does whatever is inside.
    """
    store = PostgresStore(url)
    try:
        connection = store.lead()
        try:
            connection.execute("SET statement_timeout = 0")
            yield connection
        finally:
            connection.close()
    except Error as error:
        if isinstance(store.unavailable(error), LedElsewhereError):
            raise MoveError(
                "a service works in that database, or another archive is just being moved there: "
                "nothing was changed; stop it, or name another database"
            ) from None
        raise MoveError(
            f"the database that --to names cannot be used ({said(error)}): see that its server "
            "runs, takes writes and has room; type the same again, and it goes on where it was"
        ) from None


def require_its_own(connection: Connection, archive: str) -> Move | None:
    """What is known of the move of this archive to that database; None if it can begin.

    Raises MoveError if the database holds another archive.
    """
    move = known_move(connection)
    if move is not None and move.archive == archive:
        return move
    if move is not None or not _is_empty(connection):
        raise MoveError(
            "that database holds another archive, or one that was rebuilt since: nothing was "
            "changed; name an empty one (createdb), or empty that one if nobody needs it"
        )
    ((encoding,),) = connection.execute("SHOW server_encoding").fetchall()
    if encoding != "UTF8":
        raise MoveError(
            f"that database has the encoding {encoding}, which cannot hold every text: make it "
            "with createdb --encoding UTF8 --template template0"
        )
    return None


def prepare(connection: Connection, url: str, archive: str, *, now: datetime) -> None:
    """Makes the tables, and notes that the archive comes; raises Error and MoveError."""
    PostgresStore(url).migrate()
    make_tables(connection)
    connection.execute("BEGIN")
    found = connection.execute(_REFERENCES, (_NAMES,)).fetchall()
    put_off = [f'ALTER TABLE {table} ADD CONSTRAINT "{it}" {says}' for table, it, says in found]
    for table, name, _ in found:
        connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    # The numbers are counted once, at the end.
    connection.execute("ALTER TABLE slots DISABLE TRIGGER slots_counted")
    put_off.append("ALTER TABLE slots ENABLE TRIGGER slots_counted")
    moves.begin(connection, Move(archive=archive, put_off=put_off), now=now)
    commit(connection)


def require_unused(connection: Connection) -> None:
    """Raises MoveError if an inbox there is in use: it was taken before anybody knew of the move.

    To be asked once the move is noted.
    """
    ((taken,),) = connection.execute(_TAKEN).fetchall()
    if taken:
        raise MoveError(
            "a service uses that database: stop it, and type the same again; nothing was copied"
        )


def hand_over(connection: Connection, source: Source, *, rows_sha256: bytes, now: datetime) -> None:
    """Lets the archive go on there: keys go on beyond the greatest ever given; raises Error."""
    move = known_move(connection)
    assert move is not None
    for name in (*_NAMES, "inboxes", "deliveries"):
        connection.execute(f"ANALYZE {name}")
    given = dict(source.catalog.execute("SELECT name, seq FROM sqlite_sequence"))
    connection.execute("BEGIN")
    for statement in move.put_off:
        connection.execute(statement)
    for table, column, sequence in connection.execute(_SEQUENCES, (_NAMES,)).fetchall():
        ((highest,),) = connection.execute(f"SELECT max({column}) FROM {table}").fetchall()
        if last := max(highest or 0, given.get(table, 0)):
            connection.execute("SELECT setval(?, ?)", (sequence, last))
    moves.finish(connection, rows_sha256=rows_sha256, now=now)
    commit(connection)


def _is_empty(connection: Connection) -> bool:
    for name in _TELLING:
        asked = connection.execute("SELECT to_regclass(?) IS NOT NULL", (name,))
        if asked.fetchall() == [(True,)]:
            ((found,),) = connection.execute(f"SELECT EXISTS (SELECT 1 FROM {name})").fetchall()
            if found:
                return False
    return True
