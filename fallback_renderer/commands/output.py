"""What `holdfast render` tells: data on stdout, for people or as JSON; how far it is on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fallback_renderer.notes import NoteKind
from fallback_renderer.provenance import parameters_of
from fallback_renderer.request import NotRenderable, RenderRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One picture: its name for people, its names for machines, and how it is drawn.

    Or `reason`: why it is not.
    """

    name: str
    names: Mapping[str, Any]
    reason: str | None = None
    how: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def told_plan(name: str, names: Mapping[str, Any], plan: RenderRequest | NotRenderable) -> Told:
    """What would be drawn; a seed that is still to be drawn itself is not told."""
    if isinstance(plan, NotRenderable):
        return Told(name=name, names=names, reason=plan.reason)
    how = parameters_of(plan)
    if any((note.name, note.kind) == ("seed", NoteKind.MISSING) for note in plan.notes):
        how["seed"] = None
    return Told(name=name, names=names, how=how, notes=tuple(map(str, plan.notes)))


def say(told: Sequence[Told], *, as_json: bool) -> None:
    """One JSON document on one line, in ASCII; or lines for people, which no text can paint."""
    if as_json:
        document = [
            {**it.names, "reason": it.reason, "how": it.how, "notes": it.notes} for it in told
        ]
        click.echo(json.dumps(document))
        return
    for it in told:
        how = ", ".join(filter(None, (_words(*pair) for pair in it.how.items())))
        click.echo(_plain(f"{it.name}: {how if it.reason is None else it.reason}"))
        for note in it.notes:
            click.echo(_plain(f"  {note}"))


class Bar:
    """How far a drawing has come, on a terminal; a context manager.

    Whoever watches it is told of what goes wrong, and not of what goes well.
    """

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        console = Console(stderr=True, markup=False, highlight=False)
        self._shown = sys.stderr.isatty()
        self._progress = Progress(
            *columns, TimeElapsedColumn(), console=console, disable=not self._shown
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begin(self, name: str) -> None:
        """The next picture, whose weights have yet to be loaded."""
        self._progress.reset(self._task, total=None, description=_plain(name))

    def step(self, step: int, steps: int) -> None:
        """So many of its steps are done."""
        self._progress.update(self._task, completed=step, total=steps)


def _words(name: str, value: object) -> str:
    """A fact for people, who do without what is not so, and without tables in a line."""
    spoken = name.replace("_", " ")
    if isinstance(value, bool):
        return spoken if value else ""
    return f"{spoken} {value}" if value != "" and isinstance(value, str | int | float) else ""


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
