"""`holdfast status`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Any

import click
from rich.live import Live
from rich.table import Table

from archiver import clock
from archiver.errors import HoldfastError
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive
from receiver.commands.output import console, echo_json, json_option
from receiver.commands.status_facts import facts
from receiver.commands.status_line import Line, Urgency
from receiver.commands.status_lines import lines

_EPILOG = """\b
Examples: holdfast status --watch
          holdfast status --json | jq .seconds_to_first_loss
Exit codes: 0 shown, whatever it says; 1 an error. Whether all is well, holdfast doctor says."""

_STYLES = {Urgency.LOSS: "bold red", Urgency.AMISS: "yellow", Urgency.CALM: ""}
_EVERY_SECONDS = 1.0

Look = Callable[[], dict[str, Any]]


@click.command(epilog=_EPILOG)
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
@json_option
@click.pass_obj
def command(file: ConfigFile, /, watch: bool, as_json: bool) -> None:
    """Show what is safe, what is not yet, and when the first link dies; nothing is changed.

    What is most urgent comes first. Deliveries are those of the last 24 hours, of each inbox the
    newest 10,000 at most; pictures are counted as often as a slot has them.
    """
    config = file.load()
    open_archive(config).close()

    def look() -> dict[str, Any]:
        # Anew each time, for another file may have been put in its place.
        with closing(open_archive(config)) as archive:
            return facts(archive, config, clock.now())

    if not watch:
        (echo_json if as_json else _echo)(look())
        return
    with suppress(KeyboardInterrupt):
        if as_json or not console().is_terminal:
            _follow(look, echo_json if as_json else _echo_block)
        else:
            with Live(console=console(), auto_refresh=False) as live:
                _follow(look, lambda seen: live.update(_table(seen), refresh=True))


def _follow(look: Look, tell: Callable[[dict[str, Any]], None]) -> None:
    """Looks again and again; a catalog that cannot be had for a while is said, and waited for."""
    while True:
        began = clock.monotonic()
        try:
            seen = look()
        except HoldfastError as error:
            seen = {"error": str(error)}
        tell(seen)
        # Where there is much to look at, most of the time belongs to the service.
        time.sleep(max(_EVERY_SECONDS, 4 * (clock.monotonic() - began)))


def _lines(seen: dict[str, Any]) -> Sequence[Line]:
    if "error" in seen:
        return [Line(subject="catalog", sentence=seen["error"], urgency=Urgency.LOSS)]
    return lines(seen)


def _echo(seen: dict[str, Any]) -> None:
    out = console()
    if out.is_terminal:
        out.print(_table(seen))
        return
    for line in _lines(seen):
        click.echo(f"{line.subject:12} {line.sentence}")


def _echo_block(seen: dict[str, Any]) -> None:
    _echo(seen)
    click.echo()


def _table(seen: dict[str, Any]) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(min_width=12, no_wrap=True)
    grid.add_column(overflow="fold")
    for line in _lines(seen):
        grid.add_row(line.subject, line.sentence, style=_STYLES[line.urgency])
    return grid
