"""`holdfast jobs`: the queue as it stands, and a person's orders about it."""

from __future__ import annotations

from typing import Any

import click

from archiver.catalog import Tables
from archiver.catalog.orders import JobLine
from archiver.errors import HoldfastError
from archiver.lifecycle import leading_link
from archiver.moments import to_text
from archiver.work import SLOT_KINDS, JobKind
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive
from receiver.commands.jobs_filter import EXIT_CODES, job_filter, job_filter_options
from receiver.commands.jobs_orders import cancel, hold, release, retry
from receiver.commands.output import console, echo_json, json_option, one_line, table

_EPILOG = f"""\b
Examples: holdfast jobs list --state held --provider dashscope
          holdfast jobs retry --kind fetch --reason download_hosts --dry-run
{EXIT_CODES}"""


class NoSuchJobError(HoldfastError):
    """No job has that number."""


@click.group(epilog=_EPILOG)
def command() -> None:
    """Show the units of work, and order some to be tried now, held, released or cancelled.

    Beside a running service or without one; the service does the work, now or when it runs again.
    """


for _order in (retry, hold, release, cancel):
    command.add_command(_order)


@command.command("list", epilog=EXIT_CODES)
@job_filter_options
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", type=click.IntRange(1, 2**62), help="Go on where an earlier page ended.")
@json_option
@click.pass_obj
def list_jobs(
    file: ConfigFile, /, limit: int, cursor: int | None, as_json: bool, **said: Any
) -> None:
    """List jobs, the newest first; nothing is changed.

    Example: holdfast jobs list --kind fetch --state discarded --provider doitong
    """
    with open_archive(file.load()).view() as tables:
        lines = tables.orders.page(job_filter(said), below=cursor, limit=limit + 1)
    more = lines[limit - 1].number if len(lines) > limit else None
    shown = [job_as_json(line) for line in lines[:limit]]
    if as_json:
        echo_json({"jobs": shown, "cursor": more})
        return
    rows = table("number", "kind", "state", "generation", "deadline", "next try", "reason")
    for job in shown:
        named = one_line(f"{job['provider']}/{job['id']}", width=50)
        times = (job["deadline_at"] or "", job["next_try_at"] or "")
        reason = one_line(job["reason"], width=200)
        rows.add_row(str(job["number"]), job["kind"], job["state"], named, *times, reason)
    if shown:
        console().print(rows)
    else:
        click.echo("no such jobs", err=True)
    if more is not None:
        click.echo(f"go on with --cursor {more}", err=True)


@command.command(epilog=EXIT_CODES)
@click.argument("number", type=click.IntRange(1, 2**62))
@json_option
@click.pass_obj
def show(file: ConfigFile, number: int, as_json: bool) -> None:
    """Show one job, the slot that it is for, and its link; nothing is changed.

    Example: holdfast jobs show 4711
    """
    with open_archive(file.load()).view() as tables:
        line = tables.orders.get(number)
        if line is None:
            raise NoSuchJobError(f"no job has the number {number}: see holdfast jobs list")
        told = job_as_json(line) | _slot(tables, line)
    if as_json:
        echo_json(told)
        return
    out = console()
    for name, value in told.items():
        if value not in (None, ""):
            out.print(f"{name.replace('_', ' '):16} {one_line(str(value), width=300)}")


def job_as_json(line: JobLine) -> dict[str, Any]:
    """One job as plain values."""
    return {
        "number": line.number,
        "kind": line.kind.value,
        "state": line.state.value,
        "reason": line.reason,
        "provider": line.provider,
        "id": line.generation_id,
        "archive_number": line.subject if line.kind in SLOT_KINDS else None,
        "host": line.host,
        "target": line.target,
        "deadline_at": to_text(line.deadline_at),
        "next_try_at": to_text(line.run_at),
        "attempts": line.attempts,
        "crashes": line.crashes,
        "leased_by": line.leased_by,
        "lease_until": to_text(line.lease_until),
        "wanted_at": to_text(line.wanted_at),
        "finished_at": to_text(line.finished_at),
    }


def _slot(tables: Tables, line: JobLine) -> dict[str, Any]:
    """How its slot stands, and where the link leads that is to be tried; nothing if it has none."""
    if line.kind not in SLOT_KINDS:
        return {}
    generation = tables.generations.load_slot(line.subject)
    slots = generation.slots if generation else ()
    slot = next((slot for slot in slots if slot.number == line.subject), None)
    if slot is None:
        return {}
    link = leading_link(slot) if line.kind is JobKind.FETCH else None
    return {
        "slot": slot.index,
        "slot_state": slot.state.value,
        "slot_reason": slot.reason,
        "link": link.location if link else None,
    }
