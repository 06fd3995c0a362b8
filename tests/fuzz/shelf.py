"""A real catalog for laws to write in and ask: what each does is undone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from archiver.catalog import Tables
from archiver.catalog.bulk import Bulk, Rows
from archiver.catalog.schema import migrate
from archiver.sqlite import open_reader, sqlite3
from tests.clocks import NOON


def new_shelf() -> Tables:
    """All tables of an empty catalog, in memory, in a transaction that nobody ends."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.db"
        migrate(path)
        source = open_reader(path)
        source.backup(connection)
        source.close()
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("BEGIN")
    return Tables(connection)


_shelf = cache(new_shelf)


@contextmanager
def undone() -> Iterator[Tables]:
    """The tables of an empty catalog, which is afterwards as empty as it was."""
    tables = _shelf()
    tables.connection.execute("SAVEPOINT law")
    try:
        yield tables
    finally:
        tables.connection.execute("ROLLBACK TO law")
        tables.connection.execute("RELEASE law")


class _Within:
    """A connection that stays in the transaction in which it is, whoever begins or ends one."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *values: Any) -> Any:
        return None if sql in ("BEGIN", "COMMIT") else self._connection.execute(sql, *values)


def inserted(tables: Tables, rows: Rows) -> None:
    """Writes rows as a rebuild does."""
    Bulk(_Within(tables.connection)).insert(rows, now=NOON)
