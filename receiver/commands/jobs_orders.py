"""`holdfast jobs retry`, `hold`, `release` and `cancel`: counted first, then done in portions."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from archiver import clock
from archiver.catalog import CatalogReader, Tables
from archiver.catalog.orders import JobFilter
from archiver.moments import to_text
from archiver.orders import ORDERS
from archiver.process import stop_on_signals
from archiver.work import JobState
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive, writing
from receiver.commands.consent import agreed, dry_run_option, yes_option
from receiver.commands.jobs_filter import EXIT_CODES, job_filter, job_filter_options
from receiver.commands.output import console, echo_json, json_option, one_line, table
from receiver.settings import Config

_PORTION = 50
_LISTED = 2000
# Of what could not be done so many are named, and so many reasons told; of all it is counted why.
_NAMED = 100
_TOLD = 20

# What an order is about unless a state or a number is typed.
_MEANT = {
    "retry": (JobState.SCHEDULED, JobState.HELD, JobState.DISCARDED),
    "hold": (JobState.AVAILABLE, JobState.SCHEDULED, JobState.HELD),
    "release": (JobState.HELD,),
    "cancel": (JobState.AVAILABLE, JobState.SCHEDULED, JobState.HELD),
}


@dataclass(kw_only=True)
class Outcome:
    """How many an order was done to, and why it was not to the others."""

    done: int = 0
    not_done: Counter[str] = field(default_factory=Counter)
    named: list[dict[str, Any]] = field(default_factory=list)
    stopped: bool = False

    def add(self, number: int, why_not: str) -> None:
        """One job."""
        if not why_not:
            self.done += 1
            return
        self.not_done[why_not] += 1
        if len(self.named) < _NAMED:
            self.named.append({"number": number, "why": why_not})


def _order(name: str, doc: str) -> click.Command:
    @job_filter_options
    @dry_run_option
    @yes_option
    @json_option
    @click.pass_obj
    def run(file: ConfigFile, /, dry_run: bool, yes: bool, as_json: bool, **said: Any) -> None:
        which = _meant(name, job_filter(said))
        config = file.load()
        archive = open_archive(config)
        jobs = _found(archive, which)
        _tell_counts(archive, which, name, as_json=as_json)
        if dry_run or not jobs:
            if as_json:
                echo_json({"order": name, "found": len(jobs), "done": 0, "dry_run": dry_run})
            return
        if len(jobs) > len(which.numbers):
            agreed(f"{name} {len(jobs)} jobs?", yes=yes)
        outcome = asyncio.run(_carry_out(config, name, jobs))
        _tell(name, len(jobs), outcome, as_json=as_json)

    return click.command(name, help=doc, epilog=EXIT_CODES)(run)


def _meant(name: str, which: JobFilter) -> JobFilter:
    """What was typed; without states or numbers those that the order makes sense for."""
    if which == JobFilter():
        raise click.UsageError(
            "say which jobs: numbers, --kind, --state, --reason, --provider or --host"
        )
    if which.states or which.numbers:
        return which
    return JobFilter(
        kinds=which.kinds,
        states=_MEANT[name],
        reason=which.reason,
        provider=which.provider,
        host=which.host,
    )


def _found(archive: CatalogReader, which: JobFilter) -> list[int]:
    """The numbers of all of them, those whose links die first at the head."""
    found: list[tuple[datetime, int]] = []
    above = 0
    while True:
        with archive.view() as tables:
            lines = tables.orders.after(which, above=above, limit=_LISTED)
        latest = datetime.max.replace(tzinfo=UTC)
        found += [(line.deadline_at or latest, line.number) for line in lines]
        if len(lines) < _LISTED:
            return [number for _, number in sorted(found)]
        above = lines[-1].number


async def _carry_out(config: Config, name: str, jobs: Sequence[int]) -> Outcome:
    outcome, stop = Outcome(), asyncio.Event()
    stop_on_signals(stop)
    err = Console(file=sys.stderr)
    with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(name, total=len(jobs))
        async with writing(config) as catalog:
            for begin in range(0, len(jobs), _PORTION):
                if stop.is_set():
                    outcome.stopped = True
                    break
                some = jobs[begin : begin + _PORTION]
                whys = await catalog.write(partial(_apply, ORDERS[name], some, clock.now()))
                for number, why_not in zip(some, whys, strict=True):
                    outcome.add(number, why_not)
                bar.advance(task, len(some))
    return outcome


def _apply(
    order: Callable[..., str], numbers: Sequence[int], now: datetime, tables: Tables
) -> list[str]:
    return [order(tables, number, now=now) for number in numbers]


def _tell_counts(archive: CatalogReader, which: JobFilter, name: str, *, as_json: bool) -> None:
    with archive.view() as tables:
        counts = tables.orders.count(which)
    if as_json:
        return
    rows = table(f"to {name}", "kind", "state", "first deadline")
    for it in counts:
        rows.add_row(str(it.count), it.kind, it.state, to_text(it.first_deadline_at) or "")
    if counts:
        console().print(rows)
    else:
        click.echo("no such jobs", err=True)


def _tell(name: str, found: int, outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        echo_json(
            {
                "order": name,
                "found": found,
                "done": outcome.done,
                "not_done": dict(outcome.not_done),
                "named": outcome.named,
                "dry_run": False,
            }
        )
    else:
        click.echo(f"{name}: {outcome.done} of {found}")
        for why, count in outcome.not_done.most_common(_TOLD):
            click.echo(f"{count} not: {one_line(why, width=200)}")
        if len(outcome.not_done) > _TOLD:
            click.echo("and others for other reasons; --json counts them all")
    if outcome.stopped:
        click.echo("stopped; nothing is lost, type the same again to go on", err=True)
    if outcome.stopped or outcome.not_done:
        raise SystemExit(1)


retry = _order(
    "retry",
    """Try jobs now: those that wait for their time, are held, or were given up.

    A fetch is tried again while its link lives, whatever was said of the link; one whose link has
    died says so, and nothing changes. A drawing is offered to renderers again, and with `--kind
    poll --state completed` a provider is asked once more for links that died. What a person holds
    is not tried: release it.

    Example: holdfast jobs retry --kind fetch --reason download_hosts
    """,
)
hold = _order(
    "hold",
    """Hold jobs until somebody releases them, whatever starts, is heard or planned meanwhile.

    What is under way goes on to its end. A slot stands as it stood, and its link goes on dying:
    holding a fetch for too long loses the picture.

    Example: holdfast jobs hold --kind fetch --provider modelslab
    """,
)
release = _order(
    "release",
    """Release jobs that were held by `hold`; each is tried at its turn if it is still wanted.

    Example: holdfast jobs release --reason 'held by the operator'
    """,
)
cancel = _order(
    "cancel",
    """Cancel jobs until something new is heard: a fresh link, other parameters, any change.

    A slot whose fetch is cancelled is dead, and one whose drawing is stays undrawn, each with that
    reason; a drawing is stopped even when under way. A cancelled poll means that nobody asks any
    more: its generation waits for a webhook for ever. `retry` with the job's number undoes it
    while its link lives.

    Example: holdfast jobs cancel 4711
    """,
)
