"""Which jobs are meant: numbers and options that the commands about jobs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from archiver.catalog.orders import JobFilter
from archiver.work import JobKind, JobState
from receiver.commands.output import typed
from receiver.providers import PROVIDERS

EXIT_CODES = (
    "Exit codes: 0 well, 1 an error, or some of what was ordered could not be done, 2 wrong usage."
)

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.argument("numbers", nargs=-1, type=click.IntRange(1, 2**62), metavar="[NUMBER]..."),
    click.option(
        "--kind", "kinds", multiple=True, type=click.Choice([kind.value for kind in JobKind])
    ),
    click.option(
        "--state", "states", multiple=True, type=click.Choice([state.value for state in JobState])
    ),
    click.option("--reason", default="", metavar="TEXT", help="A part of the reason, in any case."),
    click.option("--provider", type=click.Choice(sorted(PROVIDERS))),
    click.option("--host", default="", help="Of the link; its sub-domains, too."),
)


def job_filter_options(command: F) -> F:
    """Adds them to a command, which takes them as keywords and hands them to `job_filter`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def job_filter(said: dict[str, Any]) -> JobFilter:
    """What was typed, as a filter."""
    return JobFilter(
        numbers=said["numbers"],
        kinds=tuple(map(JobKind, said["kinds"])),
        states=tuple(map(JobState, said["states"])),
        reason=typed(said["reason"]),
        provider=said["provider"] or "",
        host=typed(said["host"]).lower(),
    )
