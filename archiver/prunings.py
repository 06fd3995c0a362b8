"""The table `prunings`: which bodies are to be taken out of an inbox, by the process that owns it.

The archive, which knows what is absorbed and what is still needed, writes the orders; the owner of
each inbox, its only writer, carries them out. That is all an owner ever reads in the catalog, so
this table has a room outside of it, and the role that must never wait starts without the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from archiver.database import Connection
from archiver.moments import from_millis
from archiver.sqlite import Error, open_reader


@dataclass(frozen=True, kw_only=True, slots=True)
class Pruning:
    """Positions of one inbox from `first` to `last`, both included."""

    inbox: str
    first: int
    last: int


class Prunings:
    """The orders, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def order(self, prunings: Iterable[Pruning], *, ready: bool) -> None:
        """Orders bodies out; unless `ready` they wait until `make_ready`."""
        self._connection.executemany(
            "INSERT INTO prunings VALUES (?,?,?,?) ON CONFLICT DO NOTHING",
            [(it.inbox, it.first, it.last, int(ready)) for it in prunings],
        )

    def reached(self, inbox: str) -> tuple[int, datetime | None]:
        """How far that inbox is absorbed, and when the delivery at that position was received, if
        it was noted."""
        row = self._connection.execute(
            "SELECT position, received_at FROM inbox_positions WHERE inbox = ?", (inbox,)
        ).fetchone()
        return (row[0], from_millis(row[1])) if row else (0, None)

    def begin_anew(self, inbox: str) -> None:
        """Strikes off all orders for an inbox: they are of another with the same name."""
        self._connection.execute("DELETE FROM prunings WHERE inbox = ?", (inbox,))

    def waiting(self) -> list[Pruning]:
        """Those that are not ready."""
        return self._select("ready = 0")

    def ready(self, inbox: str | None = None) -> list[Pruning]:
        """Those to be carried out, of one inbox or of all."""
        if inbox is None:
            return self._select("ready = 1")
        return self._select("ready = 1 AND inbox = ?", inbox)

    def make_ready(self, pruning: Pruning) -> None:
        """Lets one be carried out."""
        self._connection.execute(
            "UPDATE prunings SET ready = 1 WHERE inbox = ? AND first = ? AND last = ?",
            (pruning.inbox, pruning.first, pruning.last),
        )

    def done(self, pruning: Pruning) -> None:
        """Strikes one off."""
        self._connection.execute(
            "DELETE FROM prunings WHERE inbox = ? AND first = ? AND last = ?",
            (pruning.inbox, pruning.first, pruning.last),
        )

    def _select(self, where: str, *values: str) -> list[Pruning]:
        rows = self._connection.execute(
            f"SELECT inbox, first, last FROM prunings WHERE {where} ORDER BY inbox, first", values
        )
        return [Pruning(inbox=inbox, first=first, last=last) for inbox, first, last in rows]


def ordered(
    catalog: Path, inbox: str, is_meant: Callable[[int, datetime | None], bool]
) -> Sequence[Pruning]:
    """What is to be taken out of that inbox; nothing if the catalog cannot be read just now.

    Nor if it means another inbox of that name, which `is_meant` tells by what was absorbed last
    (`Prunings.reached`). The file is opened anew each time: it may be another one by the next.
    """
    try:
        connection = open_reader(catalog)
    except Error:
        return ()
    try:
        prunings = Prunings(connection)
        return prunings.ready(inbox) if is_meant(*prunings.reached(inbox)) else ()
    except Error:
        return ()
    finally:
        connection.close()
