"""How commands speak: data on stdout, for people or as JSON; everything else on stderr."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_LINE_WIDTH = 1000

STATE_STYLES = {
    "archived": "green",
    "rendered": "green",
    "linked": "yellow",
    "expected": "yellow",
    "held": "magenta",
    "dead": "red",
}


def echo_json(value: Any) -> None:
    """One JSON document on one line, in ASCII: no text of a stranger's steers the terminal."""
    click.echo(json.dumps(value))


def console() -> Console:
    """The terminal for people; markup is off, so no prompt can paint it.

    Into a pipe or a file a row is one line, however long, so that grep finds what belongs together.
    """
    width = None if sys.stdout.isatty() else _LINE_WIDTH
    return Console(markup=False, highlight=False, width=width)


def table(*columns: str) -> Table:
    """A plain table."""
    plain = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        plain.add_column(column, overflow="fold")
    return plain


def typed(text: str) -> str:
    """What an operator typed, bytes that are no text replaced: they can name nothing."""
    return text.encode(errors="replace").decode()


def one_line(text: str | None, *, width: int) -> str:
    """Text cut to a width, without line breaks or control characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text or "").split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"
