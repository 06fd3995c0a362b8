"""The quarantine as commands use it: leafed through, and marked where somebody verified a request.

A command takes nothing out: the receiving process does, for it alone writes its inbox
(`readmission`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from archiver.errors import InboxUnavailableError
from archiver.inbox.quarantine import Rejected
from archiver.inbox.quarantine_file import bring_up_to_date
from archiver.moments import from_millis
from archiver.sqlite import Connection, Error, open_reader, open_writer

_COLUMNS = (
    "id, source, path_token, received_at, peer, reason, headers, body, hopeless, last_at,"
    " verified_by"
)
_unpack = msgspec.msgpack.Decoder(tuple[tuple[bytes, bytes], ...]).decode


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A request in the quarantine; `last_at` is when the very same came once more.

    `verified_by`: somebody has verified it since, and it is about to be taken in.
    """

    id: int
    rejected: Rejected
    last_at: datetime | None
    verified_by: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """How many requests were not kept for that reason, and when the last of them came."""

    why: str
    count: int
    last_at: datetime


class Quarantined:
    """The requests of one quarantine file, for reading; there are none if there is no file.

    Every method raises InboxUnavailableError if the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def newest(self) -> int:
        """The id of the last that was taken in; 0 if there is none."""
        rows = self._ask("SELECT ifnull(max(id), 0) FROM rejected")
        return int(rows[0][0]) if rows else 0

    def before(self, request: int, *, limit: int) -> Sequence[Kept]:
        """Those of a lower id, the newest first."""
        return self._kept(f"WHERE id < ? ORDER BY id DESC LIMIT {limit:d}", request)

    def after(self, request: int, *, limit: int) -> Sequence[Kept]:
        """Those of a higher id, the oldest first."""
        return self._kept(f"WHERE id > ? ORDER BY id LIMIT {limit:d}", request)

    def get(self, request: int) -> Kept | None:
        """One request."""
        return next(iter(self._kept("WHERE id = ?", request)), None)

    def verified(self, *, limit: int) -> Sequence[Kept]:
        """Those that are verified and not yet taken in, the oldest first."""
        return self._kept(f"WHERE verified_by IS NOT NULL ORDER BY id LIMIT {limit:d}")

    def waiting(self) -> int:
        """How many are verified and not yet taken in."""
        rows = self._ask("SELECT count(*) FROM rejected WHERE verified_by IS NOT NULL")
        return int(rows[0][0]) if rows else 0

    def dropped(self) -> Sequence[Dropped]:
        """What was not kept since the file was begun, the most frequent reason first."""
        rows = self._ask("SELECT why, count, last_at FROM dropped ORDER BY count DESC, why")
        return [
            Dropped(why=why, count=count, last_at=from_millis(last_at))
            for why, count, last_at in rows
        ]

    def mark(self, verified: Mapping[int, str]) -> None:
        """Says of each id by which secret it has been verified; those that are gone stay gone."""
        try:
            with closing(open_writer(self._path, synchronous="OFF", create=False)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "UPDATE rejected SET verified_by = ? WHERE id = ?",
                    [(label, request) for request, label in verified.items()],
                )
                connection.execute("COMMIT")
        except Error as error:
            raise _unavailable(self._path, error) from error

    def _kept(self, rest: str, *values: int) -> Sequence[Kept]:
        rows = self._ask(f"SELECT {_COLUMNS} FROM rejected {rest}", *values)
        return [_from_row(row) for row in rows]

    def _ask(self, sql: str, *values: int) -> list[tuple[Any, ...]]:
        if not self._path.exists():
            return []
        try:
            with closing(self._connection()) as connection:
                return connection.execute(sql, values).fetchall()
        except Error as error:
            raise _unavailable(self._path, error) from error

    def _connection(self) -> Connection:
        """For one question each: its writer may begin a damaged file anew at any moment."""
        connection = open_reader(self._path)
        columns = {row[1] for row in connection.execute("PRAGMA table_info(rejected)")}
        if "verified_by" not in columns:  # begun by an older version
            with closing(open_writer(self._path, synchronous="OFF", create=False)) as writer:
                bring_up_to_date(writer)
        return connection


def _from_row(row: tuple[Any, ...]) -> Kept:
    request, source, path_token, received_at, peer, reason, headers, body, *more = row
    hopeless, last_at, verified_by = more
    rejected = Rejected(
        source=source,
        path_token=path_token,
        received_at=from_millis(received_at),
        peer=peer,
        reason=reason,
        headers=_unpack(headers),
        body=body,
        hopeless=bool(hopeless),
    )
    return Kept(
        id=request,
        rejected=rejected,
        last_at=from_millis(last_at) if last_at else None,
        verified_by=verified_by,
    )


def _unavailable(path: Path, error: Error) -> InboxUnavailableError:
    return InboxUnavailableError(
        f"the quarantine {path} cannot be used ({error}); trying again helps once its disk is well"
    )
