"""How `holdfast restore` says what it will do, how far it is, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress, SpinnerColumn, TextColumn

from archiver.moments import to_text
from archiver.recovery.backup_index import BackupIndex
from archiver.recovery.catching_up import CaughtUp
from archiver.recovery.restore import Restored
from archiver.recovery.restore_plan import Step
from receiver.commands.output import console, echo_json, one_line, table


def tell_plan(index: BackupIndex, steps: list[Step]) -> None:
    """What would become of each file, and why."""
    generations = f"{index.generations:,} generations"
    click.echo(f"the backup of {in_utc(index.taken_at)}, {generations}", err=True)
    rows = table("file", "what becomes of it", "because")
    for step in steps:
        rows.add_row(step.name, step.fate.value, one_line(step.why, width=200))
    console().print(rows)


def planned(index: BackupIndex, steps: list[Step]) -> dict[str, Any]:
    """The same for machines."""
    told = [{"file": it.name, "fate": it.fate.value, "because": it.why} for it in steps]
    return {"backup": to_text(index.taken_at), "steps": told}


def tell(restored: Restored | None, folder: Path) -> None:
    """What became of it, and what to do next."""
    if restored is None:
        click.echo("everything is there that the backup has: nothing was changed", err=True)
        return
    if restored.caught_up is not None:
        _tell_caught_up(restored.caught_up)
    if restored.aside is not None:
        click.echo(f"what was there lies in {restored.aside}", err=True)
    key = folder / "accounts.key"
    if not key.exists():
        click.echo(
            f"{key} is not in backups, and without it nobody knows which generations are of the "
            "accounts of your keys: put it there if you have it",
            err=True,
        )
    click.echo("restored; start the service, and see holdfast status", err=True)


def tell_json(index: BackupIndex, steps: list[Step], restored: Restored | None) -> None:
    """All of it for machines."""
    caught_up = restored.caught_up if restored else None
    aside = str(restored.aside) if restored and restored.aside else None
    told = {"aside": aside, "caught_up": asdict(caught_up) if caught_up else None}
    echo_json({**planned(index, steps), **told})


def in_utc(at: datetime) -> str:
    """A moment as `--from` takes it."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


@contextmanager
def progress() -> Iterator[Callable[[str, int], None]]:
    """What is being done and how much of it is, on stderr, where that is a terminal."""
    terminal = Console(stderr=True, highlight=False)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
    )
    done: dict[str, int] = {}
    with bar:
        task = bar.add_task("")

        def told(what: str, count: int) -> None:
            done[what] = done.get(what, 0) + count
            amount = decimal(done[what]) if what == "fetching" else f"{done[what]:,} manifests"
            bar.update(task, description=f"{what}: {amount}")

        yield told


def _tell_caught_up(done: CaughtUp) -> None:
    since = f"{done.new:,} generations came since, {done.newer:,} have changed"
    click.echo(f"{since}, {done.forgotten:,} were forgotten", err=True)
    for key, reason in done.refused.items():
        click.echo(f"{key} was left out: {reason}", err=True)
