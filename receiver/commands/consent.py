"""Before much is changed: what it will be is said first, and somebody has to agree."""

from __future__ import annotations

import sys

import click

from archiver.errors import HoldfastError

yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


class UnconfirmedError(HoldfastError):
    """Nobody has agreed, so nothing was done."""


def agreed(question: str, *, yes: bool) -> None:
    """Returns if `yes`, or if somebody at a terminal says so; raises UnconfirmedError."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UnconfirmedError("nothing was done: say --yes if that is meant")
    if not click.confirm(question, err=True):
        raise UnconfirmedError("nothing was done")
