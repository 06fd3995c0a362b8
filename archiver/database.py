"""What the tables ask of a connection, whichever database it leads to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol


class Cursor(Protocol):
    """The rows that a statement has found, and how many it has changed."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        ...

    def fetchone(self) -> Any:
        """The next row, None at the end."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A transaction under way, in which statements are carried out one after the other.

    The SQL of a table is what both SQLite and PostgreSQL understand, up to `dialect`; what is for
    files alone (`bulk`, `health`, `Texts`) is SQLite's.
    """

    def execute(self, sql: str, values: Any = (), /) -> Cursor:
        """Carries out one statement."""
        ...

    def executemany(self, sql: str, rows: Any, /) -> Cursor:
        """Carries out one statement for each row."""
        ...
