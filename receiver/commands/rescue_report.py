"""How `holdfast rescue` tells its plan, how far it is, and what came of it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from archiver.moments import to_text
from archiver.recovery.rescue_plan import Step
from archiver.recovery.rescue_rules import Kind
from receiver.commands.output import console, echo_json, one_line, table

_NO_SERVICE = (
    "no service works on this archive: what was ordered is done once `holdfast serve` runs"
)
_STOPPED = "stopped; nothing is lost, and the service goes on: holdfast rescue shows how far it is"

# What is left of a kind in the end; all others are still to come.
_TITLES = {
    Kind.RETRY: "held",
    Kind.HELD: "held",
    Kind.UNWANTED: "not wanted",
    Kind.GONE: "gone for ever",
}


@dataclass(kw_only=True)
class Course:
    """What came of a rescue; `ended`: all that could be tried was."""

    saved: int = 0
    not_done: Counter[str] = field(default_factory=Counter)
    served: bool = True
    ended: bool = False
    left: tuple[Step, ...] = ()


def progress() -> Progress:
    """Progress on stderr, where that is a terminal."""
    err = Console(file=sys.stderr)
    return Progress(console=err, transient=True, disable=not err.is_terminal)


def step_as_json(step: Step) -> dict[str, Any]:
    """One step as plain values."""
    return {
        "kind": step.kind.value,
        "because": step.because,
        "count": step.count,
        "ordered": _orders(step),
        "first_deadline_at": to_text(step.first_deadline_at),
        "examples": list(step.examples),
    }


def _orders(step: Step) -> int:
    """How many of a step are to be tried now by an order."""
    if step.kind in (Kind.REPLAY, Kind.REVERIFY, Kind.LEASE, Kind.BLOB):
        return step.count
    return len(step.jobs) + len(step.generations)


def count_orders(steps: Sequence[Step]) -> int:
    """How many are tried now by an order."""
    return sum(map(_orders, steps))


def print_plan(steps: Sequence[Step]) -> None:
    """All that is not safe, as a table."""
    if not steps:
        click.echo("everything is safe", err=True)
        return
    rows = table("", "how many", "tried now", "first deadline", "why", "such as")
    for step in steps:
        rows.add_row(
            step.kind,
            str(step.count),
            str(_orders(step) or ""),
            to_text(step.first_deadline_at) or "",
            one_line(step.because, width=120),
            one_line(", ".join(step.examples), width=100),
        )
    console().print(rows)


def tell(course: Course, *, as_json: bool) -> None:
    """What came of it."""
    if as_json:
        echo_json(
            {
                "dry_run": False,
                "saved": course.saved,
                "ended": course.ended,
                "served": course.served,
                "not_done": dict(course.not_done),
                "steps": [step_as_json(step) for step in course.left],
            }
        )
    else:
        click.echo(f"saved          {course.saved}")
        _tell_left(course)
    if not course.served:
        click.echo(_NO_SERVICE, err=True)
    elif not course.ended:
        click.echo(_STOPPED, err=True)


def _tell_left(course: Course) -> None:
    """What is not safe, every bit of it: under way, held, not wanted, gone."""
    for step in course.left:
        title = _TITLES.get(step.kind, "to come")
        such = f" (such as {', '.join(step.examples)})" if step.examples else ""
        click.echo(f"{title:14} {step.count}: {one_line(step.because + such, width=300)}")
    for why, count in course.not_done.most_common(20):
        click.echo(f"{'not ordered':14} {count}: {one_line(why, width=300)}")
