"""What is written to an inbox's file in one commit: deliveries, a proof that it can be, prunings.

Dedupe is the insert itself: a unique index over (source, heard, path_token, sha256 of the body).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from archiver.inbox import Recorded
from archiver.sqlite import Connection, Error, shorten_log

COLUMNS = "source, heard, path_token, received_at, peer, verified_by, sha256, headers, body"
_PLACES = "(?,?,?,?,?,?,?,?,?)"


@dataclass(frozen=True, slots=True)
class Prove:
    """Stands in a batch for a caller who only wants to see a commit succeed."""

    at: int


@dataclass(frozen=True, slots=True)
class Prune:
    """Stands in a batch for bodies and headers that are no longer to be kept."""

    first: int
    last: int


Item = tuple[Any, ...] | Prove | Prune


def write(connection: Connection, items: Sequence[Item]) -> Sequence[Recorded]:
    """One durable commit for all of `items`; what became of each."""
    rows = [item for item in items if isinstance(item, tuple)]
    if len(rows) == len(items):
        return _insert(connection, rows)  # a lone statement is its own transaction
    connection.execute("BEGIN IMMEDIATE")
    for item in items:
        if isinstance(item, Prove):
            connection.execute("UPDATE inbox SET proved_at = ?", (item.at,))
        elif isinstance(item, Prune):
            connection.execute(
                "UPDATE deliveries SET headers = NULL, body = NULL"
                " WHERE position BETWEEN ? AND ? AND body IS NOT NULL",
                (item.first, item.last),
            )
    outcomes = iter(_insert(connection, rows) if rows else [])
    connection.execute("COMMIT")
    if any(isinstance(item, Prune) for item in items):
        with suppress(Error):  # the log is emptied another time
            shorten_log(connection, longer_than=0)
    return [next(outcomes) if isinstance(item, tuple) else Recorded.STORED for item in items]


def _insert(connection: Connection, rows: list[tuple[Any, ...]]) -> list[Recorded]:
    places = ",".join([_PLACES] * len(rows))
    inserted = connection.execute(
        f"INSERT INTO deliveries ({COLUMNS}) VALUES {places} ON CONFLICT DO NOTHING",
        [value for row in rows for value in row],
    ).rowcount
    if inserted == len(rows):
        return [Recorded.STORED] * inserted
    # One writer, rising positions: the newest `inserted` rows are the ones this batch brought.
    newest = connection.execute(
        "SELECT sha256, source, heard, path_token FROM deliveries ORDER BY position DESC LIMIT ?",
        (inserted,),
    )
    fresh = set(newest)
    outcomes = []
    for row in rows:
        key = (row[6], row[0], row[1], row[2])
        outcomes.append(Recorded.STORED if key in fresh else Recorded.DUPLICATE)
        fresh.discard(key)
    return outcomes
