"""How every row stands by all that is known, for whoever watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from archiver.lifecycle import SETTLED, has_ended
from archiver.models import Generation, GenerationState, Slot, SlotState
from receiver.submission.batch import Row
from receiver.submission.entries import Event, Standing


class State(StrEnum):
    """What an operator wants to know of a row."""

    WAITING = "waiting"
    SUBMITTED = "submitted"
    RUNNING = "running"
    ARCHIVED = "archived"
    HELD = "held"
    DEAD = "dead"


ENDED = frozenset({State.ARCHIVED, State.HELD, State.DEAD})

_OF_EVENTS = {
    Event.WAITING: State.WAITING,
    Event.SENDING: State.WAITING,
    Event.SUBMITTED: State.SUBMITTED,
    Event.HELD: State.HELD,
    Event.DEAD: State.DEAD,
}
_SAD = (SlotState.HELD, SlotState.DEAD)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One row as it is shown; `drawn`: the provider is done with it, though it may not be safe."""

    state: State = State.WAITING
    why: str = ""
    generation_id: str = ""
    cost: float | None = None
    drawn: bool = False
    slots: tuple[Slot, ...] = ()


def shown(standing: Standing, generation: Generation | None = None) -> Shown:
    """A row by its journal and, once the catalog knows it, by its generation."""
    plain = Shown(
        state=_OF_EVENTS[standing.event],
        why=standing.why,
        generation_id=standing.generation_id,
        cost=standing.cost,
    )
    if generation is None:
        return plain
    return replace(
        plain,
        state=_state(generation),
        why=next((slot.reason for slot in generation.slots if slot.state in _SAD), ""),
        drawn=has_ended(generation),
        slots=generation.slots,
    )


def _state(generation: Generation) -> State:
    """A row is archived only with every picture of it; what is held may yet come."""
    states = {slot.state for slot in generation.slots}
    if not states or not states <= SETTLED:
        queued = generation.state is GenerationState.QUEUED
        return State.SUBMITTED if queued else State.RUNNING
    if SlotState.HELD in states:
        return State.HELD
    return State.DEAD if SlotState.DEAD in states else State.ARCHIVED


class Board:
    """The rows of one command as they are shown; `tell` hears of every change."""

    def __init__(self, rows: Sequence[Row], tell: Callable[[Row, Shown], None]) -> None:
        self.rows = rows
        self._tell = tell
        self._shown: dict[int, Shown] = {}

    def of(self, row: Row) -> Shown:
        """How the row is shown by now."""
        return self._shown.get(row.number, Shown())

    def show(self, row: Row, shown: Shown) -> None:
        """Shows the row so, from now on."""
        before = self._shown.get(row.number)
        self._shown[row.number] = shown
        if before is None or (before.state, before.why) != (shown.state, shown.why):
            self._tell(row, shown)

    def unsettled(self) -> list[Row]:
        """The rows that have come to no end yet."""
        return [row for row in self.rows if self.of(row).state not in ENDED]
