"""How `holdfast rebuild` shows how far it is, and what came of it."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from archiver.recovery.findings import Finding, Tally
from receiver.commands.output import echo_json, one_line


class _Words(ProgressColumn):
    """The tally in words."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:
        return Text(in_words(self._tally))


def progress(tally: Tally) -> Progress:
    """Progress on stderr, where that is a terminal; a context manager."""
    console = Console(file=sys.stderr)
    shown = Progress(
        SpinnerColumn(),
        TextColumn("reading the bucket"),
        _Words(tally),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    shown.add_task("")
    return shown


def in_words(tally: Tally) -> str:
    """What a rebuilding has come to, in a line."""
    said = [
        f"{tally.segments:,} segments",
        f"{tally.read:,} manifests of their own read",
        f"{tally.objects:,} pictures",
    ]
    if tally.generations:
        said.insert(0, f"{tally.generations:,} generations")
    if tally.tombstones:
        said.append(f"{tally.tombstones:,} tombstones")
    if tally.unsigned:
        said.append(f"{tally.unsigned:,} manifests that nobody signed")
    return ", ".join(said)


def tell(finding: Finding, *, as_json: bool) -> None:
    """A line for something that is amiss."""
    if as_json:
        echo_json(
            {
                "kind": finding.kind,
                "subject": finding.subject,
                "says": finding.says,
                "is_loss": finding.is_loss,
            }
        )
    else:
        subject = one_line(finding.subject, width=120)
        click.echo(f"{finding.kind}: {subject}: {one_line(finding.says, width=300)}")
