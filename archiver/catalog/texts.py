"""The table `texts` and its full-text index: the words and facet tokens by which a slot is found.

The rowid is the archive number, so newest first is the index's own order (`walks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from archiver.catalog.rows import in_portions
from archiver.database import Connection
from archiver.sqlite import Error

# Many rows in one statement: FTS5 writes a segment for each statement, and has to merge them all.
_PUT = (
    "INSERT INTO texts (number, prompt, neg, about, facets) VALUES {places}"
    " ON CONFLICT (number) DO UPDATE SET prompt=excluded.prompt, neg=excluded.neg,"
    " about=excluded.about, facets=excluded.facets"
    " WHERE texts.prompt <> excluded.prompt OR texts.neg <> excluded.neg"
    " OR texts.about <> excluded.about OR texts.facets <> excluded.facets"
)
# Some tens of milliseconds.
_MERGED_PAGES = 200

_LABEL = (
    "UPDATE texts SET facets = labels.column2 FROM (VALUES {places}) AS labels"
    " WHERE number = labels.column1 AND facets <> labels.column2"
)


class Words(NamedTuple):
    """The search text of one slot: what it shows, what it must not show, all else, and tokens."""

    number: int
    prompt: str
    neg: str
    about: str
    facets: str


class Texts:
    """The search text, inside the caller's transaction; every text is segmented already."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, words: Sequence[Words]) -> None:
        """Writes the words of some slots; the same words again touch nothing."""
        for rows in in_portions(words):
            places = ",".join(["(?,?,?,?,?)"] * len(rows))
            values = [value for row in rows for value in row]
            self._connection.execute(_PUT.format(places=places), values)

    def label(self, facets: Sequence[tuple[int, str]]) -> None:
        """Gives some slots, by number, other facet tokens; their words stay."""
        for rows in in_portions(facets):
            places = ",".join(["(?,?)"] * len(rows))
            values = [value for row in rows for value in row]
            self._connection.execute(_LABEL.format(places=places), values)

    def merge(self, *, begin: bool) -> bool:
        """A step towards an index in one piece, which holds no word that no text has any more.

        `begin` says that it is the first; False is the end.
        """
        before = self._changes()
        self._connection.execute(
            "INSERT INTO texts_fts (texts_fts, rank) VALUES ('merge', ?)",
            (-_MERGED_PAGES if begin else _MERGED_PAGES,),
        )
        return self._changes() - before >= 2  # as FTS5's manual has it

    def _changes(self) -> int:
        (changes,) = self._connection.execute("SELECT total_changes()").fetchone()
        return int(changes)

    def leave_no_trace(self) -> None:
        """Has what is deleted from here on overwritten in the file and in the search index.

        The index's own setting is the file's, so undo it by `leave_traces`. SQLite before 3.42
        knows none, and keeps a deleted word until its segments are merged.
        """
        self._connection.execute("PRAGMA secure_delete=ON")
        self._set_index(secure_delete=1)

    def leave_traces(self) -> None:
        """Goes back to deleting as it costs least."""
        self._set_index(secure_delete=0)

    def _set_index(self, *, secure_delete: int) -> None:
        with suppress(Error):
            self._connection.execute(
                "INSERT INTO texts_fts (texts_fts, rank) VALUES ('secure-delete', ?)",
                (secure_delete,),
            )

    def rebuild(self) -> None:
        """Makes the full-text index anew from the table, whatever has become of it."""
        self._connection.execute("INSERT INTO texts_fts (texts_fts) VALUES ('rebuild')")
