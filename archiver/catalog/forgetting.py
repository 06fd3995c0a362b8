"""Taking a generation, or one of its slots, out of every table.

Rows that a worker is at are never taken from under it: ask `is_worked_on` in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from archiver.catalog.rows import in_portions
from archiver.database import Connection
from archiver.models import Generation
from archiver.moments import to_millis
from archiver.prunings import Pruning
from archiver.work import SLOT_KINDS

_OF_SLOTS = ",".join(f"'{kind}'" for kind in sorted(SLOT_KINDS))
_OF_SLOT = f"kind IN ({_OF_SLOTS}) AND subject = ?"
_OF_GENERATION = f"kind NOT IN ({_OF_SLOTS}, 'notify') AND subject = ?"
_OF_NOTICES = "kind = 'notify' AND subject IN (SELECT number FROM notices WHERE generation = ?)"
_WORKED_ON = "state = 'running' AND lease_until >= ?"


class Forgetting:
    """What vanishes, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def is_worked_on(self, generation: Generation, *, now: datetime) -> bool:
        """Whether some worker holds a job of a generation; those that wait are taken away.

        Messages that wait stay: nobody would plan them anew if the generation does.
        """
        jobs = _jobs(generation)
        for which, subject in jobs:
            self._connection.execute(
                f"DELETE FROM jobs WHERE {which} AND NOT ({_WORKED_ON})", (subject, to_millis(now))
            )
        return any(
            self._connection.execute(
                f"SELECT 1 FROM jobs WHERE {which} AND {_WORKED_ON}", (subject, to_millis(now))
            ).fetchone()
            for which, subject in (*jobs, (_OF_NOTICES, generation.key))
        )

    def generation(self, generation: Generation) -> None:
        """Takes out all of a generation."""
        assert generation.key is not None
        for slot in generation.slots:
            assert slot.number is not None
            self.slot(slot.number)
            for table in ("texts", "cards"):
                self._connection.execute(f"DELETE FROM {table} WHERE number = ?", (slot.number,))
        for sql in (
            f"DELETE FROM jobs WHERE {_OF_GENERATION}",
            f"DELETE FROM jobs WHERE {_OF_NOTICES}",
            "DELETE FROM notices WHERE generation = ?",
            "DELETE FROM observations WHERE generation = ?",
            "DELETE FROM slots WHERE generation = ?",
            "DELETE FROM generations WHERE key = ?",
        ):
            self._connection.execute(sql, (generation.key,))

    def slot(self, number: int) -> None:
        """Takes out what a slot holds: its links, assets and jobs."""
        for sql in (
            f"DELETE FROM jobs WHERE {_OF_SLOT}",
            "DELETE FROM links WHERE slot = ?",
            "DELETE FROM assets WHERE slot = ?",
        ):
            self._connection.execute(sql, (number,))

    def still_shown(self, digests: Collection[bytes], *, but: Sequence[int] = ()) -> set[bytes]:
        """Those of the digests that some slot refers to, those `but` not counted."""
        found: set[bytes] = set()
        for some in in_portions([*digests]):
            rows = self._connection.execute(
                f"SELECT DISTINCT sha256 FROM assets WHERE sha256 IN ({','.join('?' * len(some))})"
                f" AND {_none_of('slot', but)}",
                some,
            )
            found |= {sha256 for (sha256,) in rows}
        return found

    def pictures(self, digests: Iterable[bytes]) -> None:
        """Takes out what was derived and found of pictures that no slot refers to any more."""
        for sha256 in digests:
            for table in ("previews", "fixity"):
                self._connection.execute(f"DELETE FROM {table} WHERE sha256 = ?", (sha256,))

    def deliveries(self, key: int) -> list[Pruning]:
        """The deliveries that spoke of a generation, each by itself."""
        rows = self._connection.execute(
            "SELECT inbox, position FROM observations WHERE generation = ? ORDER BY 1, 2", (key,)
        )
        return [Pruning(inbox=inbox, first=at, last=at) for inbox, at in rows]

    def speaks_of_others(self, pruning: Pruning, keys: Collection[int]) -> bool:
        """Whether one of these deliveries spoke of a generation beside those."""
        rows = self._connection.execute(
            "SELECT DISTINCT generation FROM observations"
            " WHERE inbox = ? AND position BETWEEN ? AND ?",
            (pruning.inbox, pruning.first, pruning.last),
        )
        return not {key for (key,) in rows} <= set(keys)

    def needed(self, pruning: Pruning, *, but: Sequence[int] = (), now: datetime) -> list[int]:
        """The positions, ascending, whose bodies somebody still needs.

        That is: with a link that lives and whose picture is not archived, those of the slots `but`
        not counted; or not understood yet.
        """
        span = (pruning.inbox, pruning.first, pruning.last)
        rows = self._connection.execute(
            "SELECT said.position FROM observations AS said"
            " JOIN slots USING (generation) JOIN links ON links.slot = slots.number"
            " AND links.inbox = said.inbox AND links.position = said.position"
            " WHERE said.inbox = ? AND said.position BETWEEN ? AND ?"
            " AND slots.state <> 'archived' AND links.expires_at > ?"
            f" AND {_none_of('slots.number', but)}"
            " UNION SELECT position FROM unparsed WHERE inbox = ? AND position BETWEEN ? AND ?"
            " ORDER BY 1",
            (*span, to_millis(now), *span),
        )
        return [position for (position,) in rows]


def _none_of(column: str, numbers: Sequence[int]) -> str:
    """As text, for of numbers there may be more than a statement takes values."""
    return f"{column} NOT IN ({','.join(str(int(it)) for it in numbers)})" if numbers else "TRUE"


def _jobs(generation: Generation) -> Sequence[tuple[str, int]]:
    """A condition on `jobs` with its value, for each subject of a generation's planned jobs."""
    assert generation.key is not None
    numbers = [slot.number for slot in generation.slots if slot.number is not None]
    return [*((_OF_SLOT, number) for number in numbers), (_OF_GENERATION, generation.key)]
