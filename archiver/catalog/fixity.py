"""The tables `fixity` and `audits`: what was found when the objects in the bucket were looked at.

An object is known by its digest, whichever slots it lies in; one that no slot refers to any more
is none of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from archiver.catalog.rows import in_portions
from archiver.database import Connection
from archiver.moments import from_millis, to_millis

_STORED = "sha256, min(blob_key), max(size_bytes), min(media_type)"
_CHECKED = "sha256, outcome, how, reason, checked_at, mended_at"
_PUT = (
    f"INSERT INTO fixity ({_CHECKED}) SELECT ?, ?, ?, ?, ?, CAST(? AS BIGINT)"
    " WHERE EXISTS (SELECT 1 FROM assets WHERE sha256 = ?)"
    " ON CONFLICT (sha256) DO UPDATE SET outcome=excluded.outcome, how=excluded.how,"
    " reason=excluded.reason, checked_at=excluded.checked_at, mended_at=excluded.mended_at"
)
_AUDIT = "id, how, sample, seed, begun_at, ended_at, reached, checked"


class Fixity(StrEnum):
    """What an audit found of an object's bytes."""

    OK = "ok"
    MISSING = "missing"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"  # neither to be had nor known to be wrong


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """An object as the catalog says that it is."""

    sha256: bytes
    blob_key: str
    size_bytes: int
    media_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """An object as it was found; `how` is "head" or "bytes".

    `mended_at`: it was amiss for that `reason`, and was brought back then.
    """

    sha256: bytes
    outcome: Fixity
    how: str
    reason: str = ""
    checked_at: datetime
    mended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditRow:
    """A run: all objects up to the digest `reached` are done; `sample` is '' for all of them."""

    id: int
    how: str
    sample: str
    seed: bytes
    begun_at: datetime
    ended_at: datetime | None
    reached: bytes
    checked: int


class FixityTables:
    """What was found, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def amount(self) -> tuple[int, int]:
        """How many objects there are, and how many bytes they have in all."""
        count, size_bytes = self._connection.execute(
            "SELECT count(*), ifnull(sum(size_bytes), 0)"
            " FROM (SELECT max(size_bytes) AS size_bytes FROM assets GROUP BY sha256)"
        ).fetchone()
        return count, size_bytes

    def digests(self, *, above: bytes, limit: int) -> list[bytes]:
        """Of the objects there are, ascending."""
        rows = self._connection.execute(
            "SELECT DISTINCT sha256 FROM assets WHERE sha256 > ? ORDER BY sha256 LIMIT ?",
            (above, limit),
        )
        return [sha256 for (sha256,) in rows]

    def stored(self, digests: Sequence[bytes]) -> list[Stored]:
        """The objects of those digests, ascending."""
        found: list[Stored] = []
        for some in in_portions(digests):
            rows = self._connection.execute(
                f"SELECT {_STORED} FROM assets WHERE sha256 IN ({','.join('?' * len(some))})"
                " GROUP BY sha256 ORDER BY sha256",
                some,
            )
            found += [
                Stored(sha256=sha256, blob_key=key, size_bytes=size_bytes, media_type=media_type)
                for sha256, key, size_bytes, media_type in rows
            ]
        return found

    def put(self, checked: Sequence[Checked]) -> None:
        """Writes what was found of objects, in place of what was found before."""
        self._connection.executemany(
            _PUT,
            [
                (
                    one.sha256,
                    one.outcome.value,
                    one.how,
                    one.reason,
                    to_millis(one.checked_at),
                    to_millis(one.mended_at),
                    one.sha256,
                )
                for one in checked
            ],
        )

    def of(self, digests: Sequence[bytes]) -> Mapping[bytes, Checked]:
        """What was last found of those objects, where they were looked at."""
        found: dict[bytes, Checked] = {}
        for some in in_portions(digests):
            rows = self._connection.execute(
                f"SELECT {_CHECKED} FROM fixity WHERE sha256 IN ({','.join('?' * len(some))})", some
            )
            found |= {row[0]: _checked(row) for row in rows}
        return found

    def found(self, since: datetime, *, above: bytes, limit: int) -> list[Checked]:
        """All that was amiss with an object looked at since then, mended or not, by digest."""
        rows = self._connection.execute(
            f"SELECT {_CHECKED} FROM fixity WHERE sha256 > ? AND checked_at >= ?"
            " AND (outcome <> 'ok' OR mended_at IS NOT NULL) ORDER BY sha256 LIMIT ?",
            (above, to_millis(since), limit),
        )
        return list(map(_checked, rows))

    def count_amiss(self) -> Mapping[str, int]:
        """How many objects there are of each outcome but "ok"."""
        return dict(
            self._connection.execute(
                "SELECT outcome, count(*) FROM fixity WHERE outcome <> 'ok' GROUP BY outcome"
            )
        )

    def mislabelled(self, digests: Sequence[bytes], *, limit: int) -> list[int]:
        """Keys of generations with a card that does not say yet what was found of its bytes."""
        places = ",".join("?" * len(digests))
        rows = self._connection.execute(
            "SELECT DISTINCT generation FROM cards JOIN fixity USING (sha256)"
            " JOIN slots USING (number)"
            f" WHERE cards.sha256 IN ({places})"
            " AND damaged <> CASE WHEN outcome IN ('missing', 'damaged') THEN 1 ELSE 0 END LIMIT ?",
            (*digests, limit),
        )
        return [key for (key,) in rows]

    def begin(self, how: str, sample: str, *, seed: bytes, now: datetime) -> AuditRow:
        """A new run, that has not looked at anything yet."""
        row = self._connection.execute(
            "INSERT INTO audits (how, sample, seed, begun_at, reached) VALUES (?,?,?,?,?)"
            f" RETURNING {_AUDIT}",
            (how, sample, seed, to_millis(now), b""),
        ).fetchone()
        return _audit(row)

    def unfinished(self, how: str, sample: str) -> AuditRow | None:
        """The last run, if it was of that kind and has not come to its end."""
        last = self.last()
        return (
            last if last and (last.how, last.sample, last.ended_at) == (how, sample, None) else None
        )

    def audit(self, audit_id: int) -> AuditRow:
        """That run as it stands now."""
        return _audit(
            self._connection.execute(
                f"SELECT {_AUDIT} FROM audits WHERE id = ?", (audit_id,)
            ).fetchone()
        )

    def last(self) -> AuditRow | None:
        """The run that began last."""
        row = self._connection.execute(
            f"SELECT {_AUDIT} FROM audits ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return _audit(row) if row else None

    def advance(self, audit: AuditRow, *, reached: bytes, checked: int) -> None:
        """Notes that so many more objects are done, up to that digest."""
        self._connection.execute(
            "UPDATE audits SET reached = ?, checked = checked + ? WHERE id = ?",
            (reached, checked, audit.id),
        )

    def end(self, audit: AuditRow, *, now: datetime) -> None:
        """Notes that a run has come to its end."""
        self._connection.execute(
            "UPDATE audits SET ended_at = ? WHERE id = ?", (to_millis(now), audit.id)
        )


def _checked(row: tuple[Any, ...]) -> Checked:
    sha256, outcome, how, reason, checked_at, mended_at = row
    return Checked(
        sha256=sha256,
        outcome=Fixity(outcome),
        how=how,
        reason=reason,
        checked_at=from_millis(checked_at),
        mended_at=from_millis(mended_at),
    )


def _audit(row: tuple[Any, ...]) -> AuditRow:
    audit_id, how, sample, seed, begun_at, ended_at, reached, checked = row
    return AuditRow(
        id=audit_id,
        how=how,
        sample=sample,
        seed=seed,
        begun_at=from_millis(begun_at),
        ended_at=from_millis(ended_at),
        reached=reached,
        checked=checked,
    )
