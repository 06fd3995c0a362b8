"""Which generations' manifests a segment in the bucket shows, and which it has yet to show.

A generation's place is among those of its lowest archive number: given once, it never moves.
"""

from __future__ import annotations

from collections.abc import Sequence

from archiver.database import Connection

_LOWEST = "(SELECT min(number) FROM slots WHERE generation = generations.key)"


class Segmenting:
    """Revisions that segments show, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def behind(self, width: int) -> list[int]:
        """The first numbers of those ranges, each so wide, of which a manifest is newer."""
        rows = self._connection.execute(
            f"SELECT DISTINCT {_LOWEST} / ? * ? FROM generations"
            " WHERE sealed_revision > segmented_revision ORDER BY 1",
            (width, width),
        )
        return [first for (first,) in rows]

    def place(self, key: int) -> int | None:
        """The lowest archive number of a generation."""
        row = self._connection.execute(
            "SELECT min(number) FROM slots WHERE generation = ?", (key,)
        ).fetchone()
        return row[0] if row else None

    def within(self, first: int, end: int, *, limit: int) -> list[tuple[int, int]]:
        """`(lowest number, key)` of sealed generations from `first` up to but without `end`."""
        rows = self._connection.execute(
            "SELECT number, key FROM slots JOIN generations ON key = generation"
            f" WHERE number >= ? AND number < ? AND sealed_revision > 0 AND number = {_LOWEST}"
            " ORDER BY number LIMIT ?",
            (first, end, limit),
        )
        return rows.fetchall()

    def shown(self, revisions: Sequence[tuple[int, int]]) -> None:
        """Notes for each `(key, revision)` that a segment shows it."""
        self._connection.executemany(
            "UPDATE generations SET segmented_revision = max(segmented_revision, ?) WHERE key = ?",
            [(revision, key) for key, revision in revisions],
        )
