"""The tables of what was heard: how far each inbox is absorbed, and what each delivery said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from archiver.database import Connection
from archiver.models import Delivery, DeliveryRef, Heard
from archiver.moments import from_millis, to_millis

# Under whose names the heartbeats say that the archive is at work, and when it was last backed up.
ARCHIVE = "archive"
BACKUP = "backup"


@dataclass(frozen=True, kw_only=True, slots=True)
class HeardOf:
    """One delivery as the story of its generation tells it."""

    ref: DeliveryRef
    heard: Heard
    state: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """A delivery that somebody asked to absorb once more."""

    id: int
    ref: DeliveryRef


class Deliveries:
    """What absorb has understood, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def position(self, inbox: str) -> int:
        """The last position of that inbox whose effect is in the catalog; 0 before the first."""
        row = self._connection.execute(
            "SELECT position FROM inbox_positions WHERE inbox = ?", (inbox,)
        ).fetchone()
        return row[0] if row else 0

    def advance(self, inbox: str, position: int, *, received_at: datetime | None = None) -> None:
        """Notes, in the same commit as their effect, that all up to `position` is absorbed."""
        self._connection.execute(
            "INSERT INTO inbox_positions (inbox, position, received_at) VALUES (?, ?, ?)"
            " ON CONFLICT (inbox) DO UPDATE SET position = excluded.position,"
            " received_at = excluded.received_at"
            " WHERE excluded.position > inbox_positions.position",
            (inbox, position, to_millis(received_at)),
        )

    def begin_anew(self, inbox: str) -> None:
        """Forgets that anything of that inbox was absorbed."""
        self._connection.execute("DELETE FROM inbox_positions WHERE inbox = ?", (inbox,))

    def observed(self, said: Sequence[tuple[Delivery, int, str]]) -> None:
        """Notes which delivery said what state of which generation's key.

        A replay says it again without a second row.
        """
        self._connection.executemany(
            "INSERT INTO observations VALUES (?,?,?,?,?,?)"
            " ON CONFLICT (inbox, position, generation) DO UPDATE SET"
            " heard=excluded.heard, state=excluded.state, received_at=excluded.received_at",
            [
                (
                    delivery.ref.inbox,
                    delivery.ref.position,
                    generation,
                    delivery.heard.value,
                    state,
                    to_millis(delivery.received_at),
                )
                for delivery, generation, state in said
            ],
        )

    def understood(self, refs: Iterable[DeliveryRef]) -> None:
        """Notes deliveries that could be understood, whether or not they said anything to us."""
        self._connection.executemany(
            "DELETE FROM unparsed WHERE inbox = ? AND position = ?",
            [(ref.inbox, ref.position) for ref in refs],
        )

    def unparsed(self, delivery: Delivery, reason: str) -> None:
        """Notes a delivery that could not be understood."""
        ref = delivery.ref
        self._connection.execute(
            "INSERT INTO unparsed VALUES (?,?,?,?,?) ON CONFLICT (inbox, position) DO UPDATE"
            " SET source=excluded.source, reason=excluded.reason, received_at=excluded.received_at",
            (ref.inbox, ref.position, delivery.source, reason, to_millis(delivery.received_at)),
        )

    def of(self, generation: int) -> list[HeardOf]:
        """The deliveries that spoke of a generation, oldest first."""
        rows = self._connection.execute(
            "SELECT inbox, position, heard, state, received_at FROM observations"
            " WHERE generation = ? ORDER BY received_at, inbox, position",
            (generation,),
        )
        return [_from_row(row) for row in rows]

    def count_unparsed(self) -> int:
        """How many deliveries wait for a parser that understands them."""
        (count,) = self._connection.execute("SELECT count(*) FROM unparsed").fetchone()
        return int(count)

    def ask_replay(self, refs: Iterable[DeliveryRef], *, now: datetime) -> None:
        """Asks for deliveries to be absorbed once more; dedupe does not stand in the way."""
        self._connection.executemany(
            "INSERT INTO replays (inbox, position, asked_at) VALUES (?,?,?)",
            [(ref.inbox, ref.position, to_millis(now)) for ref in refs],
        )

    def replays(self, *, limit: int) -> list[Replay]:
        """The replays asked for and not yet done, oldest first."""
        rows = self._connection.execute(
            "SELECT id, inbox, position FROM replays ORDER BY id LIMIT ?", (limit,)
        )
        return [
            Replay(id=replay_id, ref=DeliveryRef(inbox=inbox, position=position))
            for replay_id, inbox, position in rows
        ]

    def replayed(self, replay: Replay) -> None:
        """Strikes a replay off."""
        self._connection.execute("DELETE FROM replays WHERE id = ?", (replay.id,))

    def beat(self, role: str, *, now: datetime) -> None:
        """A role's sign of life, for whoever asks whether it still works."""
        self._connection.execute(
            "INSERT INTO heartbeats VALUES (?, ?) ON CONFLICT (role) DO UPDATE"
            " SET beat_at = excluded.beat_at",
            (role, to_millis(now)),
        )

    def last_beat_at(self, role: str) -> datetime | None:
        """When that role last gave a sign of life."""
        row = self._connection.execute(
            "SELECT beat_at FROM heartbeats WHERE role = ?", (role,)
        ).fetchone()
        return from_millis(row[0]) if row else None


def _from_row(row: tuple[Any, ...]) -> HeardOf:
    inbox, position, heard, state, received_at = row
    return HeardOf(
        ref=DeliveryRef(inbox=inbox, position=position),
        heard=Heard(heard),
        state=state,
        received_at=from_millis(received_at),
    )
