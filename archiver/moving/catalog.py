"""The catalog's tables, in the file and on the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from archiver import sqlite
from archiver.catalog.postgres_texts import PostgresTexts
from archiver.catalog.texts import Words
from archiver.moving.portions import portion
from archiver.moving.tables import TABLES, Table
from archiver.moving.walking import Key, Portion, Row
from archiver.postgres import Connection, commit

_NUL, _DRAWN_NUL = "\0", "\u2400"

_TYPES = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = ?::regclass AND attnum > 0 AND NOT attisdropped
"""


def pairs_of(source: sqlite.Connection, target: Connection) -> list[TablePair]:
    """All tables, those that others refer to first."""
    return [
        (TextsPair if table.name == "texts" else TablePair)(source, target, table)
        for table in TABLES
    ]


class TablePair:
    """A table with the same columns on both sides."""

    def __init__(self, source: sqlite.Connection, target: Connection, table: Table) -> None:
        self._source = source
        self._target = target
        self._table = table
        found = source.execute("SELECT name FROM pragma_table_info(?) ORDER BY cid", (table.name,))
        self._columns = [name for (name,) in found]
        self._types = dict(target.execute(_TYPES, (table.name,)).fetchall())
        self._key = _taking([self._columns.index(name) for name in table.key])
        self._floats = [
            place
            for place, name in enumerate(self._columns)
            if self._types[name] == "double precision"
        ]

    @property
    def name(self) -> str:
        """See `Pair.name`."""
        return self._table.name

    def count(self) -> int:
        """See `Pair.count`."""
        ((rows,),) = self._source.execute(f"SELECT count(*) FROM {self.name}").fetchall()
        return int(rows)

    def portion(self, after: Key | None) -> Portion:
        """See `Pair.portion`."""
        rows, upto = portion(
            self._source,
            f"SELECT {', '.join(self._columns)} FROM {self.name}",
            self._table.key,
            after,
            key_of=self._key,
        )
        there = map(self._as_there, rows)
        return Portion(rows={self._key(row): row for row in there}, upto=upto)

    def seen(self, row: Row) -> Row:
        """See `Pair.seen`."""
        return row

    def there(self, after: Key | None, upto: Key | None) -> Mapping[Key, Row]:
        """See `Pair.there`."""
        key = ", ".join(self._table.key)
        places = ", ".join("?" * len(self._table.key))
        bounds = [(">", after), ("<=", upto)]
        wheres = [f"({key}) {sign} ({places})" for sign, bound in bounds if bound is not None]
        rows = self._target.execute(
            f"SELECT {', '.join(self._columns)} FROM {self.name}"
            + (f" WHERE {' AND '.join(wheres)}" if wheres else ""),
            [value for _, bound in bounds if bound is not None for value in bound],
        )
        return {self._key(row): row for row in rows}

    def put(self, gone: Sequence[Key], rows: Sequence[Row]) -> None:
        """See `Pair.put`."""
        self._target.execute("BEGIN")
        self._delete(self._table.key, gone)
        self._insert(rows)
        commit(self._target)

    def _insert(self, rows: Sequence[Row]) -> None:
        if not rows or self._insert_new(rows) == len(rows):
            return
        # Something there has become another's since it was copied: it is walked over again.
        taken = _taking([self._columns.index(name) for name in self._table.unique])
        self._delete(self._table.unique, [taken(row) for row in rows])
        self._insert_new(rows)

    def _insert_new(self, rows: Sequence[Row]) -> int:
        return self._target.execute(
            f"INSERT INTO {self.name} ({', '.join(self._columns)})"
            f" SELECT * FROM {self._lists(self._columns)} ON CONFLICT DO NOTHING",
            _columns(rows),
        ).rowcount

    def _delete(self, names: Sequence[str], keys: Sequence[Key]) -> None:
        if keys:
            same = " AND ".join(f"{self.name}.{name} = gone.{name}" for name in names)
            self._target.execute(
                f"DELETE FROM {self.name} USING {self._lists(names)} AS gone"
                f" ({', '.join(names)}) WHERE {same}",
                _columns(keys),
            )

    def _lists(self, names: Iterable[str]) -> str:
        return f"unnest({', '.join(f'?::{self._types[name]}[]' for name in names)})"

    def _as_there(self, row: Row) -> Row:
        """A row as PostgreSQL has it: without U+0000, and floats where it knows nothing else."""
        values = list(row)
        for place in self._floats:
            if values[place] is not None:
                values[place] = float(values[place])
        return tuple(
            value.replace(_NUL, _DRAWN_NUL) if isinstance(value, str) and _NUL in value else value
            for value in values
        )


class TextsPair(TablePair):
    """The search text, which on the server has its words beside it."""

    def _insert(self, rows: Sequence[Row]) -> None:
        PostgresTexts(self._target).put(
            [Words(**dict(zip(self._columns, row, strict=True))) for row in rows]
        )


def _taking(places: Sequence[int]) -> Any:
    """Takes some values out of a row, as a tuple even if it is one."""
    if len(places) == 1:
        [place] = places
        return lambda row: (row[place],)
    return itemgetter(*places)


def _columns(rows: Sequence[Row]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
