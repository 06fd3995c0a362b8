"""A request on its way to becoming a picture: what was asked, and what its rules go by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from archiver.models import GenerationParams
from fallback_renderer.checkpoints import Checkpoint
from fallback_renderer.limits import Limits, Range
from fallback_renderer.notes import Note, clamped, ignored
from fallback_renderer.pictures import Picture, Work

# Fields of `RenderRequest`, and what differs in them from what was asked.
Reading = tuple[dict[str, Any], list[Note]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What was asked of whom, and which of its pictures (`index`) is wanted."""

    provider: str
    params: GenerationParams
    service: str | None = None
    index: int = 0
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What the rules go by; `random_seed` is for where nobody knows the seed."""

    asked: Asked
    work: Work
    checkpoint: Checkpoint
    limits: Limits
    random_seed: int

    @property
    def params(self) -> GenerationParams:
        """What was asked for."""
        return self.asked.params


def within(name: str, said: float | None, range_: Range, usual: float) -> tuple[float, list[Note]]:
    """The value where the range allows it, else the nearest with a note; `usual` if none is."""
    if said is None:
        return usual, []
    if said != said:  # only NaN; `isnan` fails on integers that are too large for a float
        return usual, [ignored(name, f"it is no number: {usual:g} is taken")]
    value = range_.nearest(said)
    if value == said:
        return value, []
    return value, [clamped(name, f"{said} is drawn as {value:g}")]
