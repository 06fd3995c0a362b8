"""The table `texts` and its full-text index: the words under which a slot is found.

The rowid is the archive number, so newest first is the index's own order.
"""

from __future__ import annotations

from archiver.sqlite import Connection

_PUT = (
    "INSERT INTO texts (number, prompt, neg, about) VALUES (?,?,?,?)"
    " ON CONFLICT (number) DO UPDATE SET"
    " prompt=excluded.prompt, neg=excluded.neg, about=excluded.about"
    " WHERE prompt <> excluded.prompt OR neg <> excluded.neg OR about <> excluded.about"
)


class Texts:
    """The search text, inside the caller's transaction; every text is segmented already."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, number: int, *, prompt: str, neg: str, about: str) -> None:
        """Writes the words of one slot; the same words again touch nothing."""
        self._connection.execute(_PUT, (number, prompt, neg, about))

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
