"""What became of deliveries: whom each spoke of, why it was not understood, what waits to be read
once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archiver.database import Connection
from archiver.models import DeliveryRef


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a delivery said of one generation."""

    provider: str
    generation_id: str
    state: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a delivery said, or why it could not be understood."""

    said: tuple[Said, ...] = ()
    unparsed: str | None = None


class Outcomes:
    """Reads of what absorb has written, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, inbox: str, positions: Sequence[int]) -> Mapping[int, Outcome]:
        """What became of those deliveries of an inbox that said something, or nothing to us."""
        places = ",".join("?" * len(positions))
        said: dict[int, list[Said]] = {}
        for position, provider, generation_id, state in self._connection.execute(
            "SELECT position, provider, id, observations.state FROM observations"
            " JOIN generations ON key = generation"
            f" WHERE inbox = ? AND position IN ({places}) ORDER BY provider, id",
            (inbox, *positions),
        ):
            one = Said(provider=provider, generation_id=generation_id, state=state)
            said.setdefault(position, []).append(one)
        reasons = dict(
            self._connection.execute(
                f"SELECT position, reason FROM unparsed WHERE inbox = ? AND position IN ({places})",
                (inbox, *positions),
            )
        )
        return {
            position: Outcome(said=tuple(said.get(position, ())), unparsed=reasons.get(position))
            for position in said.keys() | reasons.keys()
        }

    def unparsed(self, inbox: str, *, below: int, limit: int) -> list[int]:
        """The positions of what was not understood, the newest first."""
        rows = self._connection.execute(
            "SELECT position FROM unparsed WHERE inbox = ? AND position < ?"
            " ORDER BY position DESC LIMIT ?",
            (inbox, below, limit),
        )
        return [position for (position,) in rows]

    def of_generation(self, generation: int, inbox: str, *, below: int, limit: int) -> list[int]:
        """The positions of what spoke of a generation, the newest first."""
        rows = self._connection.execute(
            "SELECT position FROM observations INDEXED BY observations_by_generation"
            " WHERE generation = ? AND inbox = ? AND position < ? ORDER BY position DESC LIMIT ?",
            (generation, inbox, below, limit),
        )
        return [position for (position,) in rows]

    def asked_again(self) -> set[DeliveryRef]:
        """What somebody has asked to be absorbed once more, and is not yet."""
        rows = self._connection.execute("SELECT inbox, position FROM replays")
        return {DeliveryRef(inbox=inbox, position=position) for inbox, position in rows}
