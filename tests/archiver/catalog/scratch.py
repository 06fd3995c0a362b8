"""A catalog's tables, empty at the beginning and undone at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from archiver.catalog import Tables
from archiver.catalog.postgres_store import ON_A_SERVER
from archiver.postgres import connect
from archiver.sqlite import open_writer


@contextmanager
def scratch(migrated: Path) -> Iterator[Tables]:
    """The tables of an empty catalog, in one transaction that leaves it empty."""
    connection = open_writer(migrated)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield Tables(connection)
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def scratch_on(url: str) -> Iterator[Tables]:
    """The tables of an empty catalog, in one transaction that leaves it empty."""
    with closing(connect(url)) as connection:
        connection.execute("BEGIN")
        yield Tables(connection, ON_A_SERVER)
        connection.execute("ROLLBACK")
