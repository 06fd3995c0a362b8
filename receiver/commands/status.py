"""`holdfast status`."""

from __future__ import annotations

import shutil
from datetime import datetime
from typing import Any

import click

from archiver import clock
from archiver.catalog import Tables
from archiver.catalog.renders import RENDERER
from archiver.inbox.quarantine import Refused, refused
from archiver.moments import to_text
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive
from receiver.commands.output import console, echo_json, json_option, one_line
from receiver.commands.status_credit import credit, credit_lines
from receiver.commands.status_recovery import recovery, recovery_lines
from receiver.inboxes import Inboxes


@click.command()
@json_option
@click.pass_obj
def command(file: ConfigFile, as_json: bool) -> None:
    """Show what is safe, what is not yet, and when the first link dies."""
    config = file.load()
    now = clock.now()
    archive, inboxes = open_archive(config), Inboxes(config.catalog.inbox_folder)
    with archive.view() as tables:
        status = _status(tables, inboxes, now)
        status |= credit(tables, config.providers, now) | recovery(tables, now)
    quarantined = refused(config.catalog.inbox_folder / "quarantine.db")
    status["refused"] = [_refused(one, now) for one in quarantined]
    free_bytes = shutil.disk_usage(config.catalog.folder).free
    status["disk"] = {"free_bytes": free_bytes, "min_free_bytes": config.catalog.min_free_bytes}
    if as_json:
        echo_json(status)
    else:
        _print(status)


def _status(tables: Tables, inboxes: Inboxes, now: datetime) -> dict[str, Any]:
    first_loss_at = tables.jobs.first_loss_at(now=now)
    generations = tables.generations.count_by_state()
    jobs = {f"{kind} {state}": n for (kind, state), n in tables.jobs.count().items()}
    return {
        "generations": {f"{provider} {state}": n for (provider, state), n in generations.items()},
        "slots": tables.generations.count_slots_by_state(),
        "jobs": jobs,
        "holds": tables.generations.count_reasons("held"),
        "losses": tables.generations.count_reasons("dead"),
        "unparsed": tables.deliveries.count_unparsed(),
        "backlog": inboxes.backlog(tables.deliveries.position),
        "first_loss_at": to_text(first_loss_at),
        "seconds_to_first_loss": _seconds(first_loss_at, now),
        "archive_beat_seconds_ago": _seconds_ago(tables, "archive", now),
        "renderer": {
            "beat_seconds_ago": _seconds_ago(tables, RENDERER, now),
            "waiting": jobs.get("render available", 0) + jobs.get("render scheduled", 0),
            "drawing": jobs.get("render running", 0),
            "not_drawn": dict(tables.renders.refusals()),
        },
    }


def _seconds_ago(tables: Tables, role: str, now: datetime) -> float | None:
    beat_at = tables.deliveries.last_beat_at(role)
    return -_seconds(beat_at, now) if beat_at else None


def _refused(one: Refused, now: datetime) -> dict[str, Any]:
    return {
        "source": one.source,
        "reason": one.reason,
        "count": one.count,
        "last_seconds_ago": -_seconds(one.last_at, now),
    }


def _seconds(moment: datetime | None, now: datetime) -> Any:
    return round((moment - now).total_seconds(), 1) if moment else None


def _print(status: dict[str, Any]) -> None:
    out = console()
    for name in ("generations", "slots", "jobs", "holds", "losses"):
        counts = ", ".join(f"{count} {what}" for what, count in sorted(status[name].items()))
        out.print(f"{name:12} {counts or 'none'}")
    out.print(f"{'backlog':12} {status['backlog']} deliveries not yet absorbed")
    out.print(f"{'unparsed':12} {status['unparsed']} deliveries not understood")
    seconds = status["seconds_to_first_loss"]
    waiting = "nothing waits to be fetched" if seconds is None else f"in {seconds:.0f} s"
    out.print(f"{'first loss':12} {waiting}")
    out.print(f"{'archive role':12} {_alive(status['archive_beat_seconds_ago'])}")
    _print_renderer(out, status["renderer"])
    for subject, sentence in (*credit_lines(status), *recovery_lines(status)):
        out.print(f"{subject:12} {sentence}")
    for one in status["refused"]:
        ago = f"the last {one['last_seconds_ago']:.0f} s ago"
        out.print(f"{'refused':12} {one['count']} from {one['source']}, {ago}: {one['reason']}")
    disk = status["disk"]
    refusing = disk["free_bytes"] < disk["min_free_bytes"]
    full = "; too full: webhooks are refused, free some space" if refusing else ""
    out.print(f"{'disk':12} {disk['free_bytes'] / 2**30:.1f} GiB free{full}")


def _print_renderer(out: Any, renderer: dict[str, Any]) -> None:
    counts = f"{renderer['waiting']} waiting, {renderer['drawing']} being drawn"
    out.print(f"{'renderer':12} {_alive(renderer['beat_seconds_ago'])}; {counts}")
    for reason, count in renderer["not_drawn"].items():
        out.print(f"{'not drawn':12} {count}: {one_line(reason, width=200)}")


def _alive(seconds_ago: float | None) -> str:
    return "never ran" if seconds_ago is None else f"last seen {seconds_ago:.0f} s ago"
