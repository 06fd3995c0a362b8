"""What a trial is told, and what it says of itself: rows of the table that is printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap

_WIDTHS = (16, 30, 30, 40, 34)
_TITLES = ("test", "dose", "must be", "result", "with a safeguard away")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """How a trial is to be made: how long, with which seed, and where it may leave things.

    `folder` is the trial's own, and is kept if a promise was broken.
    """

    long: bool
    seed: int
    folder: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One promise under one attack: what was done, what had to be, what was, and its control.

    A control is the same attack with a safeguard taken away. If it breaks nothing, the attack is
    blind, which counts as much as a broken promise. `control` is empty where nothing can be taken
    away.
    """

    test: str
    dose: str
    must: str
    result: str
    kept: bool
    control: str = ""
    control_broke: bool = True

    @property
    def passed(self) -> bool:
        """Whether the promise was kept, by an attack that can break it."""
        return self.kept and self.control_broke


Trial = Callable[[Run], list[Row]]


def table(rows: Sequence[Row]) -> str:
    """The rows side by side, wrapped, for a terminal of 160 columns."""
    lines = [_line(_TITLES), "  ".join("─" * width for width in _WIDTHS)]
    for row in rows:
        result = f"{'✓' if row.kept else '✗'} {row.result}"
        control = (
            f"{'✓' if row.control_broke else '✗ blind:'} {row.control}" if row.control else "–"
        )
        cells = (row.test, row.dose, row.must, result, control)
        columns = [wrap(cell, width) for cell, width in zip(cells, _WIDTHS, strict=True)]
        lines += map(_line, zip_longest(*columns, fillvalue=""))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    padded = [f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)]
    return "  ".join(padded).rstrip()
