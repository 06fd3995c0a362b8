"""How `holdfast migrate` shows how far it is, what came of it, and what is to be typed next."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from archiver.moments import to_text
from receiver.commands.output import console, echo_json, one_line, table
from receiver.settings import CatalogTable

if TYPE_CHECKING:
    from archiver.moving.move import Moved, Planned
    from archiver.moving.walking import Difference, Key, Tally

_NOT_MOVED = 3

_DONE = ("moved", "moved before")
_SAYS = {
    "moved": "moved: every row was compared and is the same. In holdfast.toml, in place of what "
    "[catalog] says of url, password and data_folder:",
    "moved before": "moved before, and the files are as they were then; nothing was changed. In "
    "holdfast.toml, in place of what [catalog] says of url, password and data_folder:",
    "moved before, and the files have gone on since": "this archive was moved there before, and "
    "its files have gone on since: what was heard into them is not on the server. Nothing was "
    "changed. If nobody has used the archive on the server yet, make that database anew and type "
    "the same again; if somebody has, stop the service on the files, and have the providers' "
    "deliveries since then sent, or adopted, once more",
    "copied beside the running service": "copied, and not moved yet: a service or a command still "
    "writes the archive, and the rows above have changed meanwhile. Stop it, and type the same "
    "again: only what has changed is copied then",
    "differs": "not moved: the rows above are not the same on the server. Nothing was changed in "
    "the files; type the same again, and if they still differ, please report it",
}


@contextmanager
def progress(as_json: bool) -> Iterator[Callable[[str, int, int], None]]:
    """What is being done and how much of it is, on stderr, where that is a terminal."""
    terminal = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("rows"),
        console=terminal,
        transient=True,
        disable=as_json or not terminal.is_terminal,
    )
    tasks: dict[str, Any] = {}
    with bar:

        def told(what: str, total: int, rows: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.advance(tasks[what], rows)

        yield told


def tell_plan(planned: Planned, *, as_json: bool) -> None:
    """What would be moved."""
    if as_json:
        at = to_text(planned.finished_at)
        rows = dict(planned.rows)
        echo_json({"dry_run": True, "begun": planned.begun, "moved_at": at, "rows": rows})
        return
    shown = table("table", "rows")
    for name, count in planned.rows.items():
        shown.add_row(name, f"{count:,}")
    console().print(shown)
    if planned.finished_at is not None:
        said = f"moved to that database at {to_text(planned.finished_at)} already"
    elif planned.begun:
        said = "some of it is in that database already: what differs would be copied"
    else:
        said = "that database is empty: all of it would be copied"
    click.echo(f"{said}; nothing was done", err=True)


def tell(moved: Moved, target: CatalogTable, *, as_json: bool) -> int:
    """What came of it, and what to do next; the exit code."""
    state = moved.state.value
    is_done = state in _DONE
    settings = _settings(target) if is_done else {}
    if as_json:
        echo_json(
            {
                "state": state,
                "settings": settings,
                "rows": sum(tally.rows for tally in moved.written),
                "written": _counts(moved.written),
                "differing": _counts(moved.differing),
                "differences": [_difference(it) for it in _named(moved.differing)],
            }
        )
        return 0 if is_done else _NOT_MOVED
    rows, written = _sum(moved.written, "rows"), _sum(moved.written, "changed")
    if moved.written:
        click.echo(f"{rows:,} rows compared, {written:,} of them written", err=True)
    for tally in moved.differing:
        click.echo(f"{tally.table}: {tally.changed:,} rows differ")
        for it in tally.named:
            click.echo(f"  {it.table} {_key(it.key)}: {it.says}")
    click.echo(_SAYS[state], err=True)
    if is_done:
        click.echo("\n[catalog]")
        for name, value in settings.items():
            click.echo(f"{name} = {json.dumps(value)}")
    return 0 if is_done else _NOT_MOVED


def _settings(target: CatalogTable) -> dict[str, str]:
    """The lines of `[catalog]`; the password itself is in its file."""
    names = ("url", "password_file", "data_folder", "node")
    return {name: getattr(target, name) for name in names if getattr(target, name)}


def _counts(tallies: Sequence[Tally]) -> dict[str, int]:
    return {tally.table: tally.changed for tally in tallies if tally.changed}


def _sum(tallies: Sequence[Tally], name: str) -> int:
    return sum(getattr(tally, name) for tally in tallies)


def _named(tallies: Sequence[Tally]) -> Iterator[Difference]:
    return (it for tally in tallies for it in tally.named)


def _difference(it: Difference) -> dict[str, str]:
    return {"table": it.table, "key": _key(it.key), "says": it.says}


def _key(key: Key) -> str:
    """Keys are numbers, digests, and words of ours or a provider's account fingerprint."""
    parts = (value.hex() if isinstance(value, bytes) else str(value) for value in key)
    return one_line("/".join(parts), width=200)
