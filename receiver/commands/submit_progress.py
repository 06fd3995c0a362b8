"""How `holdfast submit` shows what becomes of the rows: a bar for people, lines for pipes."""

from __future__ import annotations

import sys
from collections import Counter
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from receiver.commands.output import one_line
from receiver.submission.batch import Row
from receiver.submission.board import ENDED, Shown, State


class SubmitProgress:
    """On stderr; a context manager. `warn_credits` are by provider."""

    def __init__(self, rows: int, warn_credits: dict[str, int]) -> None:
        self._states: dict[int, State] = {}
        self._costs: dict[int, tuple[str, float]] = {}
        self._warn_credits = dict(warn_credits)
        self._bar = _bar() if sys.stderr.isatty() else None
        self._task = self._bar.add_task("", total=rows) if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def tell(self, row: Row, shown: Shown) -> None:
        """A row has come to stand otherwise."""
        changed = self._states.get(row.number) is not shown.state
        self._states[row.number] = shown.state
        if self._bar is None or self._task is None:
            click.echo(f"{label(row)}: {line(row, shown)}", err=True)
        else:
            if changed and shown.state in (State.HELD, State.DEAD):
                self._bar.console.print(escape(f"{label(row)}: {line(row, shown)}"))
            ended = sum(state in ENDED for state in self._states.values())
            self._bar.update(self._task, completed=ended, description=self._counts(shown.why))
        if shown.cost is not None:
            self._spend(row, shown.cost)

    def note(self, text: str) -> None:
        """Something to be known once."""
        if self._bar is None:
            click.echo(text, err=True)
        else:
            self._bar.console.print(escape(text))

    def _counts(self, why: str) -> str:
        counts = Counter(self._states.values())
        said = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
        return escape(f"{said} ({one_line(why, width=40)})" if why else said)

    def _spend(self, row: Row, cost: float) -> None:
        self._costs[row.number] = (row.provider, cost)
        limit = self._warn_credits.get(row.provider)
        spent = sum(cost for provider, cost in self._costs.values() if provider == row.provider)
        if limit and spent > limit:
            del self._warn_credits[row.provider]
            self.note(f"{row.provider}: {spent:g} credits spent, beyond warn_credits = {limit}")


def label(row: Row) -> str:
    """What a row is called."""
    name = one_line(row.name, width=40)
    return f"row {row.number} ({name})" if name else f"row {row.number}"


def line(row: Row, shown: Shown) -> str:
    """How a row stands, in a line."""
    named = f"{row.provider}/{shown.generation_id}" if shown.generation_id else ""
    words = " ".join(filter(None, (shown.state.value, one_line(named, width=100))))
    return f"{words}: {one_line(shown.why, width=300)}" if shown.why else words


def row_as_json(row: Row, shown: Shown) -> dict[str, Any]:
    """One row for machines."""
    return {
        "row": row.number,
        "name": row.name,
        "provider": row.provider,
        "id": shown.generation_id or None,
        "state": shown.state.value,
        "reason": shown.why or None,
        "cost": shown.cost,
        "slots": [
            {
                "number": slot.number,
                "state": slot.state.value,
                "sha256": slot.leading_asset.sha256.hex() if slot.leading_asset else None,
                "blob_key": slot.leading_asset.blob_key if slot.leading_asset else None,
            }
            for slot in shown.slots
        ],
    }


def _bar() -> Progress:
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True, highlight=False),
    )
