"""`holdfast deliveries replay` and `reverify`: what was heard is taken in once more."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from contextlib import closing
from functools import partial
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from archiver import clock
from archiver.catalog import Tables
from archiver.models import DeliveryRef
from archiver.moments import to_text
from archiver.process import stop_on_signals
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive, writing
from receiver.commands.consent import agreed, dry_run_option, yes_option
from receiver.commands.deliveries_filter import (
    EXIT_CODES,
    delivery_filter,
    delivery_filter_options,
)
from receiver.commands.output import console, echo_json, json_option, table, typed
from receiver.deliveries import DeliveryLog, log_of
from receiver.delivery_lines import DeliveryFilter, DeliveryLine, DeliveryState
from receiver.reverify import Findings, examine
from receiver.settings import Config

_PORTION = 500
# The service looks once a second; who has taken in nothing in this time does not run.
_PATIENCE_SECONDS = 5.0
_LOOK_SECONDS = 0.1


@click.command(epilog=EXIT_CODES)
@click.argument("names", nargs=-1, metavar="[INBOX:POSITION]...")
@delivery_filter_options
@dry_run_option
@yes_option
@json_option
@click.pass_obj
def replay(
    file: ConfigFile,
    /,
    names: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **said: Any,
) -> None:
    """Have the service absorb stored deliveries once more, as after a parser was mended.

    Those named, or all that the options describe. Nothing is asked of anybody; what a delivery
    says is joined with what is known, so that the same again changes nothing. One whose body was
    pruned cannot be read again, and one of the backlog is absorbed anyway.

    Example: holdfast deliveries replay --state unparsed --dry-run
    """
    config = file.load()
    archive = open_archive(config)
    which = delivery_filter(archive, said)
    if names and which != DeliveryFilter():
        raise click.UsageError("say either which by name, or what they are like")
    if not names and which == DeliveryFilter():
        raise click.UsageError("say which: by name, --source, --state, --since or --generation")
    if which.state in (DeliveryState.QUARANTINED, DeliveryState.BACKLOG):
        raise click.UsageError(f"what is {which.state} was never absorbed; see reverify")
    with closing(log_of(archive, config.catalog)) as log:
        lines = (log.find(typed(name))[1] for name in names) if names else log.lines(which)
        refs, counts = _replayable(lines)
    if not as_json:
        _print_counts(counts)
    if refs and not dry_run:
        if not names:
            agreed(f"absorb {len(refs)} deliveries once more?", yes=yes)
        asyncio.run(_ask_replays(config, refs))
    if as_json:
        told = {" ".join(key): count for key, count in counts.items()}
        echo_json({"found": told, "replayed": 0 if dry_run else len(refs), "dry_run": dry_run})
    elif not dry_run:
        click.echo(f"{len(refs)} are absorbed once more, as soon as the service runs")


def _replayable(lines: Any) -> tuple[list[DeliveryRef], Counter[tuple[str, str]]]:
    """Those that can be absorbed again, and how many there are of each (source, state)."""
    refs: list[DeliveryRef] = []
    counts: Counter[tuple[str, str]] = Counter()
    line: DeliveryLine
    for line in lines:
        absorbed = line.state in (DeliveryState.ABSORBED, DeliveryState.UNPARSED)
        pruned = line.size_bytes is None
        counts[line.source, "pruned" if pruned else line.state.value] += 1
        if absorbed and not pruned:
            refs.append(line.ref)
    return refs[::-1], counts  # the oldest first, as they were heard


async def _ask_replays(config: Config, refs: list[DeliveryRef]) -> None:
    async with writing(config) as catalog:
        waiting = await catalog.write(lambda tables: tables.outcomes.asked_again())
        asked = [ref for ref in refs if ref not in waiting]
        for begin in range(0, len(asked), _PORTION):
            await catalog.write(partial(_ask, asked[begin : begin + _PORTION]))


def _ask(refs: list[DeliveryRef], tables: Tables) -> None:
    tables.deliveries.ask_replay(refs, now=clock.now())


def _print_counts(counts: Counter[tuple[str, str]]) -> None:
    if not counts:
        click.echo("no such deliveries", err=True)
        return
    rows = table("deliveries", "source", "state")
    for (source, state), count in sorted(counts.items()):
        rows.add_row(str(count), source, state)
    console().print(rows)


@click.command(epilog=EXIT_CODES)
@dry_run_option
@yes_option
@json_option
@click.pass_obj
def reverify(file: ConfigFile, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Verify what is in the quarantine with the secrets as they are configured now.

    What is authentic goes into the inbox as if it had come now, but keeps the time of its arrival,
    for its links die by that. The receiving process does it, within a second or when it runs
    again; the same delivery sent once more is then known. What fits no secret stays where it is.
    Of ModelsLab nothing can be verified again, for the token of its path is not kept. The
    quarantine is bounded: at most 100,000 requests and 64 MiB, and 2 MiB from one address in ten
    minutes; what had to be dropped for that is counted.

    Example: holdfast deliveries reverify --dry-run
    """
    config = file.load()
    archive = open_archive(config)
    with closing(log_of(archive, config.catalog)) as log:
        findings = asyncio.run(_examine(config, log))
        if not as_json:
            _print_findings(log, findings)
        left = 0
        if not dry_run and findings.authentic:
            agreed(f"take in {len(findings.authentic)} authentic deliveries?", yes=yes)
            log.quarantined.mark(findings.authentic)
        if not dry_run and (findings.authentic or findings.waiting):
            left = asyncio.run(wait_until_taken_in(log))
        if as_json:
            echo_json(_findings_as_json(log, findings, left) | {"dry_run": dry_run})
    if not (left or dry_run or as_json) and findings.authentic:
        click.echo(f"{len(findings.authentic)} are taken in", err=True)
    if left:
        click.echo(
            f"{left} wait for the service to take them in: holdfast serve must run", err=True
        )
        raise SystemExit(1)


async def _examine(config: Config, log: DeliveryLog) -> Findings:
    err = Console(file=sys.stderr)
    with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("verifying", total=None)
        return await examine(
            config,
            log.quarantined,
            was_pushed_since=log.was_pushed_since,
            progress=lambda count: bar.advance(task, count),
        )


async def wait_until_taken_in(log: DeliveryLog) -> int:
    """Returns how many are not, once none is or nobody seems to take them in any more."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    left, gives_up_at = log.quarantined.waiting(), clock.monotonic() + _PATIENCE_SECONDS
    while left and not stop.is_set() and clock.monotonic() < gives_up_at:
        await asyncio.sleep(_LOOK_SECONDS)
        before, left = left, log.quarantined.waiting()
        if left < before:
            gives_up_at = clock.monotonic() + _PATIENCE_SECONDS
    return left


def _print_findings(log: DeliveryLog, findings: Findings) -> None:
    rows = table("requests", "source", "", "reason")
    authentic = len(findings.authentic)
    if authentic:
        known = f"{findings.known} of them known already" if findings.known else "not known yet"
        rows.add_row(str(authentic), "", "authentic", known)
    if findings.waiting:
        rows.add_row(str(findings.waiting), "", "authentic", "found so before")
    for name, counted in (("forged", findings.forged), ("undecided", findings.undecided)):
        for (source, reason), count in counted.most_common():
            rows.add_row(str(count), source, name, reason)
    for it in log.quarantined.dropped():
        rows.add_row(str(it.count), "", "dropped", f"{it.why}; the last at {to_text(it.last_at)}")
    if rows.row_count:
        console().print(rows)
    else:
        click.echo("nothing is in the quarantine", err=True)


def _findings_as_json(log: DeliveryLog, findings: Findings, left: int) -> dict[str, Any]:
    return {
        "authentic": len(findings.authentic),
        "known": findings.known,
        "waiting": left,
        "forged": sum(findings.forged.values()),
        "undecided": sum(findings.undecided.values()),
        "reasons": [
            {"source": source, "verdict": verdict, "reason": reason, "count": count}
            for verdict, counted in (("forged", findings.forged), ("undecided", findings.undecided))
            for (source, reason), count in counted.most_common()
        ],
        "dropped": [
            {"why": it.why, "count": it.count, "last_at": to_text(it.last_at)}
            for it in log.quarantined.dropped()
        ],
    }
