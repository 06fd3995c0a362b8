"""The table `moving` of a database on a server: which archive comes there from files, and whether
all of it has come.

Until it has, nobody leads there and no inbox is taken: half an archive would fetch what it has, and
know no delivery again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from archiver.database import Connection
from archiver.moments import from_millis, to_millis

_TABLE = """
CREATE TABLE IF NOT EXISTS moving (
    archive TEXT NOT NULL,
    begun_at BIGINT NOT NULL,
    finished_at BIGINT,
    rows_sha256 BYTEA,
    put_off TEXT NOT NULL
)
"""

ARRIVING = "an archive is still being moved there: let holdfast migrate sqlite-to-postgres finish"


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """An archive that comes, or has come: its name, which no other has; once it has come the digest
    of all its rows; and the statements that are to be carried out then."""

    archive: str
    finished_at: datetime | None = None
    rows_sha256: bytes | None = None
    put_off: Sequence[str] = ()


def known_move(connection: Connection) -> Move | None:
    """What comes to that database, or has come; None if nothing ever did."""
    asked = connection.execute("SELECT to_regclass('moving') IS NOT NULL")
    if asked.fetchall() == [(False,)]:
        return None
    row = connection.execute(
        "SELECT archive, finished_at, rows_sha256, put_off FROM moving"
    ).fetchone()
    if row is None:
        return None
    archive, finished_at, rows_sha256, put_off = row
    return Move(
        archive=archive,
        finished_at=from_millis(finished_at),
        rows_sha256=rows_sha256,
        put_off=tuple(json.loads(put_off)),
    )


def is_arriving(connection: Connection) -> bool:
    """Whether an archive comes to that database and is not all there yet."""
    move = known_move(connection)
    return move is not None and move.finished_at is None


def begin(connection: Connection, move: Move, *, now: datetime) -> None:
    """Notes that it comes, inside the caller's transaction."""
    connection.execute(_TABLE)
    connection.execute(
        "INSERT INTO moving (archive, begun_at, put_off) VALUES (?,?,?)",
        (move.archive, to_millis(now), json.dumps(list(move.put_off))),
    )


def finish(connection: Connection, *, rows_sha256: bytes, now: datetime) -> None:
    """Notes that all of it has come, inside the caller's transaction."""
    connection.execute(
        "UPDATE moving SET finished_at = ?, rows_sha256 = ?", (to_millis(now), rows_sha256)
    )
