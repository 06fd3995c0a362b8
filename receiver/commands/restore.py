"""`holdfast restore`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress, SpinnerColumn, TextColumn

from archiver import clock
from archiver.blobs import BlobStore
from archiver.blobs.opening import open_blob_store
from archiver.errors import BackupError
from archiver.moments import to_millis, to_text
from archiver.query.dates import moments
from archiver.recovery.backup import backups, index_of
from archiver.recovery.backup_index import BackupIndex
from archiver.recovery.restore import Restore, Restored
from archiver.recovery.restore_plan import Step, changes, plan
from receiver.cli import ConfigFile
from receiver.commands.consent import agreed, dry_run_option, yes_option
from receiver.commands.output import console, echo_json, json_option, one_line, table
from receiver.roles.supervisor import ROLES, take
from receiver.settings import Config
from receiver.signing import signer_of, trust_of

_EPILOG = """\b
Example: holdfast restore --dry-run, and then holdfast restore --yes
Exit codes: 0 restored, or all there already; 1 an error, of which nothing was changed."""


def _until(_context: click.Context, _option: click.Parameter, typed: str | None) -> int | None:
    found = moments(typed, clock.now()) if typed is not None else None
    if typed is not None and (found is None or found.high is None):
        raise click.BadParameter(f"{typed!r} is no time such as 2026-11-21 or 2026-11-21T12:00")
    return int(found.high) if found and found.high is not None else None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Order:
    """What was typed; `until` is in milliseconds since 1970."""

    until: int | None
    into: Path | None
    dry_run: bool
    yes: bool
    as_json: bool


@click.command(epilog=_EPILOG)
@click.option(
    "--from", "until", callback=_until, metavar="TIME", help="The newest backup up to then, in UTC."
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="Into a new folder, and not into the archive.",
)
@dry_run_option
@yes_option
@json_option
@click.pass_obj
def command(file: ConfigFile, /, **typed: Any) -> None:
    """Bring catalog and inboxes back from the newest backup, with the manifests written since.

    Stop the service first. Says file by file what it will do before it does it: what is there and
    has all that the backup has, is kept; what else is in the way is put aside and never deleted.
    Everything is verified before anything is changed.
    """
    config, order = file.load(), _Order(**typed)
    bucket = config.bucket
    blobs = open_blob_store(bucket.url, endpoint=bucket.endpoint, region=bucket.region)
    with ExitStack() as locks:
        if order.into is not None:
            catalog = order.into.absolute() / "catalog.db"
            _require_new(order.into)
        else:
            catalog = config.catalog.path
            if not order.dry_run:
                for role in ROLES:
                    locks.enter_context(take(config.catalog.folder, role))
        asyncio.run(_restore(config, blobs, catalog, order))


def _require_new(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise BackupError(f"{folder} has other things in it: name a new folder, or an empty one")


async def _restore(config: Config, blobs: BlobStore, catalog: Path, order: _Order) -> None:
    restore = Restore(
        blobs=blobs,
        catalog=catalog,
        trust=trust_of(config),
        signer=signer_of(config),
        now=clock.now,
    )
    try:
        index = await _chosen(blobs, order.until)
        steps = plan(index, await asyncio.to_thread(restore.present, index))
        if order.as_json and order.dry_run:
            echo_json({**_planned(index, steps), "dry_run": True})
        elif not order.as_json:
            _tell_plan(index, steps)
        if order.dry_run:
            return
        restored = None
        if changes(steps):
            agreed("Restore so?", yes=order.yes or order.into is not None)
            with _progress() as progress:
                restored = await replace(restore, progress=progress).carry_out(index, steps)
        _tell(index, steps, restored, catalog, as_json=order.as_json)
    finally:
        await blobs.close()


async def _chosen(blobs: BlobStore, until: int | None) -> BackupIndex:
    """The newest whole backup up to that moment; raises BackupError if there is none."""
    found = [at for at, has_index in (await backups(blobs)).items() if has_index]
    meant = [at for at in found if until is None or to_millis(at) <= until]
    if meant:
        return await index_of(blobs, max(meant))
    if found:
        raise BackupError(f"there is no backup as old as that; the oldest is {_time(min(found))}")
    raise BackupError(
        "there is no backup in the bucket: see that bucket.url names the right one. holdfast "
        "rebuild makes a catalog out of the bucket alone"
    )


def _tell_plan(index: BackupIndex, steps: list[Step]) -> None:
    click.echo(
        f"the backup of {_time(index.taken_at)}, {index.generations:,} generations", err=True
    )
    rows = table("file", "what becomes of it", "because")
    for step in steps:
        rows.add_row(step.name, step.fate.value, one_line(step.why, width=200))
    console().print(rows)


def _planned(index: BackupIndex, steps: list[Step]) -> dict[str, Any]:
    return {
        "backup": to_text(index.taken_at),
        "steps": [
            {"file": step.name, "fate": step.fate.value, "because": step.why} for step in steps
        ],
    }


def _tell(
    index: BackupIndex,
    steps: list[Step],
    restored: Restored | None,
    catalog: Path,
    *,
    as_json: bool,
) -> None:
    caught_up = restored.caught_up if restored else None
    aside = str(restored.aside) if restored and restored.aside else None
    if as_json:
        counts = (
            {
                "new": caught_up.new,
                "newer": caught_up.newer,
                "forgotten": caught_up.forgotten,
                "refused": caught_up.refused,
            }
            if caught_up
            else None
        )
        echo_json({**_planned(index, steps), "aside": aside, "caught_up": counts})
        return
    if restored is None:
        click.echo("everything is there that the backup has: nothing was changed", err=True)
        return
    if caught_up is not None:
        said = f"{caught_up.new:,} generations came since, {caught_up.newer:,} have changed"
        click.echo(f"{said}, {caught_up.forgotten:,} were forgotten", err=True)
        for key, reason in caught_up.refused.items():
            click.echo(f"{key} was left out: {reason}", err=True)
    if aside is not None:
        click.echo(f"what was there lies in {aside}", err=True)
    if not (catalog.parent / "accounts.key").exists():
        click.echo(
            f"{catalog.parent / 'accounts.key'} is not in backups: without it generations are not "
            "known to be of the accounts of your keys; put it there if you have it",
            err=True,
        )
    click.echo("restored; start the service, and see holdfast status", err=True)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


@contextmanager
def _progress() -> Iterator[Any]:
    """What is being done and how much of it is, on stderr, where that is a terminal."""
    terminal = Console(stderr=True, highlight=False)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
    )
    done: dict[str, int] = {}
    with bar:
        task = bar.add_task("")

        def told(what: str, count: int) -> None:
            done[what] = done.get(what, 0) + count
            amount = decimal(done[what]) if what == "fetching" else f"{done[what]:,} manifests"
            bar.update(task, description=f"{what}: {amount}")

        yield told
