"""The table `texts` on PostgreSQL: the words and facet tokens by which a slot is found.

The words are in a `tsvector` that was made here (`tsvector`), under an index of the kind GIN. It
takes every change at once: with `fastupdate` each search would have to read all that was put in
since, and a page asks it several times.
"""

from __future__ import annotations

from collections.abc import Sequence

from archiver.catalog.rows import in_portions
from archiver.catalog.texts import Words
from archiver.postgres import Connection
from archiver.query.tsvector import vector

SEARCH_TABLES = (
    # What a change of state leaves behind is swept before every search stumbles over it.
    """
    CREATE TABLE texts (
        number BIGINT PRIMARY KEY REFERENCES slots (number),
        prompt TEXT NOT NULL,
        neg TEXT NOT NULL,
        about TEXT NOT NULL,
        facets TEXT NOT NULL DEFAULT '',
        words TSVECTOR NOT NULL,
        tokens INTEGER NOT NULL,            -- of all four texts
        lacks SMALLINT NOT NULL             -- see archiver/query/tsvector.py
    ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)
    """,
    "CREATE INDEX texts_by_words ON texts USING gin (words) WITH (fastupdate = off)",
    "CREATE INDEX texts_lacking ON texts (lacks) WHERE lacks > 0",
    # How many rows and tokens there are is the sum of all its rows, so that no writer waits for
    # another to count.
    "CREATE TABLE text_totals (rows BIGINT NOT NULL, tokens BIGINT NOT NULL)",
    """
    CREATE FUNCTION count_texts() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP <> 'DELETE' THEN
            INSERT INTO text_totals
            SELECT count(*), sum(tokens) FROM added HAVING count(*) > 0;
        END IF;
        IF TG_OP <> 'INSERT' THEN
            INSERT INTO text_totals
            SELECT -count(*), -sum(tokens) FROM removed HAVING count(*) > 0;
        END IF;
        IF random() < 0.01 THEN
            WITH free AS (SELECT ctid AS place FROM text_totals FOR UPDATE SKIP LOCKED),
            gone AS (
                DELETE FROM text_totals USING free WHERE text_totals.ctid = free.place
                RETURNING rows, text_totals.tokens
            )
            INSERT INTO text_totals SELECT sum(rows), sum(tokens) FROM gone HAVING count(*) > 0;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER texts_added AFTER INSERT ON texts REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_texts()
    """,
    """
    CREATE TRIGGER texts_changed AFTER UPDATE ON texts
    REFERENCING NEW TABLE AS added OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_texts()
    """,
    """
    CREATE TRIGGER texts_removed AFTER DELETE ON texts REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_texts()
    """,
)

_PUT = (
    "INSERT INTO texts (number, prompt, neg, about, facets, words, tokens, lacks) VALUES {places}"
    " ON CONFLICT (number) DO UPDATE SET prompt=excluded.prompt, neg=excluded.neg,"
    " about=excluded.about, facets=excluded.facets, words=excluded.words, tokens=excluded.tokens,"
    " lacks=excluded.lacks WHERE texts.prompt <> excluded.prompt OR texts.neg <> excluded.neg"
    " OR texts.about <> excluded.about OR texts.facets <> excluded.facets"
    " OR texts.words <> excluded.words"
)
# Locked in one order, so that no two writers wait for each other.
_OTHERWISE_LABELLED = (
    "SELECT texts.number, prompt, neg, about, label FROM texts"
    " JOIN unnest(?::bigint[], ?::text[]) AS labels (number, label) USING (number)"
    " WHERE facets <> label ORDER BY texts.number FOR UPDATE OF texts"
)
_LABEL = "UPDATE texts SET facets=?, words=?::tsvector, tokens=?, lacks=? WHERE number=?"


class PostgresTexts:
    """What `Texts` is on SQLite: the search text, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, words: Sequence[Words]) -> None:
        """Writes the words of some slots; the same words again touch nothing."""
        once = {row.number: row for row in words}  # PostgreSQL writes no row twice in a statement
        for rows in in_portions([once[number] for number in sorted(once)]):
            places = ",".join(["(?,?,?,?,?,?,?,?)"] * len(rows))
            values = [value for row in rows for value in (*row, *_vector(row))]
            self._connection.execute(_PUT.format(places=places), values)

    def label(self, facets: Sequence[tuple[int, str]]) -> None:
        """Gives some slots, by number, other facet tokens; their words stay."""
        labels = dict(facets)
        found = self._connection.execute(_OTHERWISE_LABELLED, [[*labels], [*labels.values()]])
        rows = [Words(*row) for row in found]
        if rows:
            values = [(row.facets, *_vector(row), row.number) for row in rows]
            self._connection.executemany(_LABEL, values)

    def merge(self, *, begin: bool) -> bool:
        """Nothing: what no text says any more goes when the server vacuums, in its own time."""
        return False

    def leave_no_trace(self) -> None:
        """Nothing: the server overwrites nothing that is deleted, but uses its place again."""

    def leave_traces(self) -> None:
        """Nothing, for the same reason."""

    def rebuild(self) -> None:
        """Makes the full-text index anew from the table, whatever has become of it.

        Nobody can search meanwhile, which takes some 20 s for a million rows.
        """
        self._connection.execute("SET LOCAL statement_timeout = 0")
        self._connection.execute("REINDEX INDEX texts_by_words")


def _vector(row: Words) -> tuple[str, int, int]:
    return vector(row.number, prompt=row.prompt, neg=row.neg, about=row.about, facets=row.facets)
