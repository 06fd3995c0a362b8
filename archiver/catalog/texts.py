"""The table `texts` and its full-text index: the words under which a slot is found.

The rowid is the archive number, so newest first is the index's own order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from archiver.catalog.rows import in_portions
from archiver.sqlite import Connection

# Many rows in one statement: FTS5 writes a segment for each statement, and has to merge them all.
_PUT = (
    "INSERT INTO texts (number, prompt, neg, about) VALUES {places}"
    " ON CONFLICT (number) DO UPDATE SET"
    " prompt=excluded.prompt, neg=excluded.neg, about=excluded.about"
    " WHERE prompt <> excluded.prompt OR neg <> excluded.neg OR about <> excluded.about"
)


class Words(NamedTuple):
    """The search text of one slot: what it shows, what it must not show, and all else."""

    number: int
    prompt: str
    neg: str
    about: str


class Texts:
    """The search text, inside the caller's transaction; every text is segmented already."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, words: Sequence[Words]) -> None:
        """Writes the words of some slots; the same words again touch nothing."""
        for rows in in_portions(words):
            places = ",".join(["(?,?,?,?)"] * len(rows))
            values = [value for row in rows for value in row]
            self._connection.execute(_PUT.format(places=places), values)

    def page(self, match: str, *, before: int | None, limit: int) -> list[int]:
        """Archive numbers that match an FTS5 expression, newest first, below `before`."""
        ceiling = before if before is not None else 1 << 62
        if not match:
            rows = self._connection.execute(
                "SELECT number FROM texts WHERE number < ? ORDER BY number DESC LIMIT ?",
                (ceiling, limit),
            )
        else:
            rows = self._connection.execute(
                "SELECT rowid FROM texts_fts WHERE texts_fts MATCH ? AND rowid < ?"
                " ORDER BY rowid DESC LIMIT ?",
                (match, ceiling, limit),
            )
        return [number for (number,) in rows]
