"""Whether the catalog's file is whole, and its search index in step with it."""

from __future__ import annotations

from collections.abc import Iterator

from archiver.sqlite import Connection, Error

_TRIGGERS = ("texts_ai", "texts_ad", "texts_au")

_REINDEX = "holdfast reindex mends it"
_RESTORE = "stop the service, then holdfast restore; what was heard since is in the inboxes"

_STRAYS = {
    "output slots without a card": (
        "SELECT count(*) FROM slots LEFT JOIN cards USING (number)"
        " WHERE role = '' AND cards.number IS NULL"
    ),
    "cards that say another state than their slot": (
        "SELECT count(*) FROM cards JOIN slots USING (number) WHERE cards.state <> slots.state"
    ),
    "cards without words": (
        "SELECT count(*) FROM cards LEFT JOIN texts USING (number) WHERE texts.number IS NULL"
    ),
}


def troubles(connection: Connection) -> Iterator[str]:
    """A sentence on each thing that is amiss, and what to do; nothing is changed.

    It reads the whole file, which takes a while. FTS5 wants a connection that may write.
    """
    for (said,) in connection.execute("PRAGMA quick_check(5)"):
        if said != "ok":
            yield f"the file is damaged ({said}): {_RESTORE}"
    for row in connection.execute("PRAGMA foreign_key_check").fetchmany(5):
        yield f"a row of {row[0]} belongs to nothing: {_RESTORE}"
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    missing = [name for name in _TRIGGERS if name not in names]
    if missing:
        yield f"the triggers {', '.join(missing)} are gone, so nothing new is found: {_RESTORE}"
    for what, query in _STRAYS.items():
        (count,) = connection.execute(query).fetchone()
        if count:
            yield f"{count:,} {what}: {_REINDEX}"
    try:
        connection.execute("INSERT INTO texts_fts (texts_fts, rank) VALUES ('integrity-check', 1)")
    except Error as error:
        yield f"the search index is not what its texts are ({error}): {_REINDEX}"
