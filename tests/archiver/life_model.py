"""A page that knows what no order of events may change of a generation."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from archiver import diagram
from archiver.catalog.jobs import Jobs
from archiver.models import (
    FailureClass,
    Generation,
    GenerationState,
    Observation,
    Origin,
    Slot,
    SlotState,
)
from archiver.work import HELD_BY_OPERATOR, JobKind, JobState

Moves = Collection[tuple[SlotState, SlotState]]

# Every move that the README's diagram shows, and every place that can be reached by several.
TABLE = {(before, after) for before, _, after in diagram.transitions()}
REACH = {
    (one, other)
    for one in SlotState
    for other in SlotState
    if one is other
    or (
        any((one, it) in TABLE for it in SlotState)
        # What no event leads out of stays, and what was drawn only becomes the provider's own.
        and (one is not SlotState.RENDERED or other is SlotState.ARCHIVED)
    )
}
RANK = {state: rank for rank, state in enumerate(GenerationState)}
WAITING = {JobState.AVAILABLE, JobState.SCHEDULED, JobState.RUNNING}


@dataclass
class Model:
    """What must be so of one generation, whatever has happened in whatever order.

    It knows how far the provider's word has gone, which pictures there are and what was forgotten;
    the rest is the law's to say.
    """

    rank: int = -1
    moderated: bool = False
    canceled: bool = False
    revision: int = 0
    pictures: dict[int, set[Origin]] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    forgotten: bool = False
    states: dict[int, SlotState] = field(default_factory=dict)

    def heard(self, observation: Observation) -> None:
        """Something was heard of it."""
        self.told(observation.state)
        self.canceled |= observation.state is GenerationState.CANCELED
        failures = (observation.failure, *(seen.failure for seen in observation.slots))
        self.moderated |= any(
            it is not None and it.failure_class is FailureClass.POLICY for it in failures
        )

    def told(self, state: GenerationState) -> None:
        """It has come so far at least."""
        self.rank = max(self.rank, RANK[state])

    def stored(self, index: int, origin: Origin) -> None:
        """A picture of that slot is in the bucket."""
        self.pictures.setdefault(index, set()).add(origin)

    def lost(self, index: int) -> None:
        """That slot was forgotten on purpose."""
        self.gone.add(index)
        self.pictures.pop(index, None)

    def check(self, known: Generation, moves: Moves, jobs: Jobs) -> None:
        """Whether what is known is so, and came about by such moves alone."""
        assert RANK[known.state] == self.rank, "a state has fallen, or risen by itself"
        assert (known.moderated, known.canceled) == (self.moderated, self.canceled)
        assert known.revision >= self.revision, "a revision has fallen"
        assert known.sealed_revision <= known.revision
        numbers = [slot.number for slot in known.slots]
        assert len(set(numbers)) == len(numbers)
        assert None not in numbers
        assert self.states.keys() <= {slot.index for slot in known.slots}, "a slot is lost"
        for slot in known.slots:
            before = self.states.get(slot.index)
            assert (
                slot.index in self.gone
                or before is None
                or (before is slot.state or (before, slot.state) in moves)
            ), f"{before} has become {slot.state}"
            self._check_slot(slot)
            self._check_work(slot, jobs)
        self.revision = known.revision
        self.states = {slot.index: slot.state for slot in known.slots}

    def _check_slot(self, slot: Slot) -> None:
        pictures = self.pictures.get(slot.index, set())
        assert sorted(it.origin for it in slot.assets) == sorted(pictures), "a picture is lost"
        lives = any(link.failure is None for link in slot.links)
        flagged = any(it.rendering and it.rendering.flagged for it in slot.assets)
        if Origin.PROVIDER in pictures:
            assert slot.state is SlotState.ARCHIVED
        elif pictures:
            assert slot.state is (SlotState.HELD if flagged else SlotState.RENDERED)
        elif lives:
            assert slot.state is SlotState.LINKED
        else:
            assert slot.state in (SlotState.EXPECTED, SlotState.HELD, SlotState.DEAD)
        assert not (slot.index in self.gone and (lives or slot.assets))

    def _check_work(self, slot: Slot, jobs: Jobs) -> None:
        """What lives is being fetched; what was moderated, or has a picture, is not drawn."""
        assert slot.number is not None
        fetch = jobs.of(JobKind.FETCH, slot.number)
        render = jobs.of(JobKind.RENDER, slot.number)
        if slot.state is SlotState.LINKED:
            assert fetch is not None
            held = fetch.state is JobState.HELD and fetch.reason.startswith(
                (HELD_BY_OPERATOR, "its worker died")
            )
            assert fetch.state in WAITING or held, f"a link waits for nobody: {fetch}"
        if self.moderated or slot.assets or slot.state is SlotState.LINKED:
            assert (
                render is None or render.state not in WAITING or (render.reason == HELD_BY_OPERATOR)
            ), f"a drawing that nobody wants: {render}"
