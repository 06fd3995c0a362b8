"""The inboxes: a file each here, all in two tables on the server, where each keeps its UUID and its
positions, by which the catalog knows its deliveries.

There one index knows a delivery again, whichever inbox it came to. So of those that two files have
all but one are kept beside it (`make_doubles`), each at its own position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from archiver import sqlite
from archiver.inbox.postgres_tables import DOUBLES, make_doubles
from archiver.moving.portions import portion
from archiver.moving.walking import Key, Portion, Row
from archiver.postgres import Connection, commit

_TEXTS = ("source", "path_token", "peer", "verified_by")
_COLUMNS = (
    *("position", "source", "heard", "path_token", "received_at", "peer", "verified_by"),
    *("sha256", "headers", "body"),
)
_LARGE = len(_COLUMNS) - 2  # headers and body are compared by their digests

_HERE = ", ".join(f"CAST({it} AS BLOB)" if it in _TEXTS else it for it in _COLUMNS)
_THERE = ", ".join((*_COLUMNS[:_LARGE], "sha256(headers)", "sha256(body)"))

_ROWS = """
SELECT ?::uuid, * FROM unnest(?::bigint[], ?::bytea[], ?::text[], ?::bytea[], ?::bigint[],
    ?::bytea[], ?::bytea[], ?::bytea[], ?::bytea[], ?::bytea[])
"""
_PUT = f"""
INSERT INTO deliveries (inbox, {", ".join(_COLUMNS)}) {_ROWS}
ON CONFLICT (sha256, sha256(path_token), source, heard) DO NOTHING
RETURNING position
"""
_PUT_DOUBLES = f"INSERT INTO {DOUBLES} (inbox, {', '.join(_COLUMNS)}) {_ROWS}"


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxFile:
    """An inbox's file, open for reading; `name` is what it is called on the server."""

    name: str
    uuid: str
    connection: sqlite.Connection


class NamesPair:
    """The inboxes themselves, all of which are one portion."""

    name = "inboxes"

    def __init__(self, files: Sequence[InboxFile], target: Connection) -> None:
        self._files = files
        self._target = target

    def count(self) -> int:
        """See `Pair.count`."""
        return len(self._files)

    def portion(self, after: Key | None) -> Portion:
        """See `Pair.portion`."""
        rows: dict[Key, Row] = {}
        for file in self._files:
            ((proved_at,),) = file.connection.execute("SELECT proved_at FROM inbox").fetchall()
            rows[(file.uuid,)] = (file.uuid, file.name, proved_at)
        return Portion(rows=rows, upto=None)

    def seen(self, row: Row) -> Row:
        """See `Pair.seen`."""
        return row

    def there(self, after: Key | None, upto: Key | None) -> Mapping[Key, Row]:
        """See `Pair.there`."""
        rows = self._target.execute("SELECT uuid::text, name, proved_at FROM inboxes")
        return {(row[0],): row for row in rows}

    def put(self, gone: Sequence[Key], rows: Sequence[Row]) -> None:
        """See `Pair.put`."""
        self._target.execute("BEGIN")
        self._target.executemany("DELETE FROM inboxes WHERE uuid = ?", gone)
        self._target.executemany("INSERT INTO inboxes (uuid, name, proved_at) VALUES (?,?,?)", rows)
        commit(self._target)


class DeliveriesPair:
    """The deliveries of one inbox."""

    def __init__(self, file: InboxFile, target: Connection) -> None:
        self.name = f"deliveries {file.name}"
        self._source = file.connection
        self._target = target
        self._inbox = UUID(file.uuid)

    def count(self) -> int:
        """See `Pair.count`."""
        ((rows,),) = self._source.execute("SELECT count(*) FROM deliveries").fetchall()
        return int(rows)

    def portion(self, after: Key | None) -> Portion:
        """See `Pair.portion`."""
        select = f"SELECT {_HERE} FROM deliveries"
        rows, upto = portion(self._source, select, ("position",), after, key_of=lambda row: row[:1])
        return Portion(rows={row[:1]: row for row in rows}, upto=upto)

    def seen(self, row: Row) -> Row:
        """See `Pair.seen`."""
        return (*row[:_LARGE], *map(_digest, row[_LARGE:]))

    def there(self, after: Key | None, upto: Key | None) -> Mapping[Key, Row]:
        """See `Pair.there`; large values stay where they are."""
        rows = self._target.execute(
            f"SELECT {_THERE} FROM deliveries WHERE inbox = ? AND position > ?"
            + (" AND position <= ?" if upto else ""),
            (self._inbox, *(after or (0,)), *(upto or ())),
        )
        return {row[:1]: row for row in rows}

    def put(self, gone: Sequence[Key], rows: Sequence[Row]) -> None:
        """See `Pair.put`."""
        self._target.execute("BEGIN")
        self._target.execute(
            "DELETE FROM deliveries WHERE inbox = ? AND position = ANY(?)",
            (self._inbox, [position for (position,) in gone]),
        )
        if rows:
            put = self._target.execute(_PUT, (self._inbox, *_columns(rows)))
            known = {position for (position,) in put}
            doubles = [row for row in rows if row[0] not in known]
            if doubles:
                make_doubles(self._target)
                self._target.execute(_PUT_DOUBLES, (self._inbox, *_columns(doubles)))
        commit(self._target)


def _digest(value: bytes | None) -> bytes | None:
    return None if value is None else sha256(value).digest()


def _columns(rows: Sequence[Row]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
