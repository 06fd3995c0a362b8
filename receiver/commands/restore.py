"""`holdfast restore`."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from archiver import clock
from archiver.blobs import BlobStore
from archiver.blobs.opening import open_blob_store
from archiver.errors import BackupError
from archiver.moments import to_millis
from archiver.query.dates import moments
from archiver.recovery.backup import backups, index_of
from archiver.recovery.backup_index import BackupIndex
from archiver.recovery.restore import Restore
from archiver.recovery.restore_plan import changes, plan
from receiver.cli import ConfigFile
from receiver.commands.consent import agreed, dry_run_option, yes_option
from receiver.commands.output import echo_json, json_option
from receiver.commands.restore_report import (
    in_utc,
    planned,
    progress,
    tell,
    tell_json,
    tell_plan,
)
from receiver.roles.premises import take
from receiver.roles.supervisor import ROLES
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
        try:
            asyncio.run(_restore(config, blobs, catalog, order))
        except KeyboardInterrupt as error:
            raise BackupError("stopped; type it again to begin anew") from error


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
            echo_json({**planned(index, steps), "dry_run": True})
        elif not order.as_json:
            tell_plan(index, steps)
        if order.dry_run:
            return
        restored = None
        if changes(steps):
            agreed("Restore so?", yes=order.yes or order.into is not None)
            with progress() as told:
                restored = await replace(restore, progress=told).carry_out(index, steps)
        if order.as_json:
            tell_json(index, steps, restored)
        else:
            tell(restored, catalog.parent)
    finally:
        await blobs.close()


async def _chosen(blobs: BlobStore, until: int | None) -> BackupIndex:
    """The newest whole backup up to that moment; raises BackupError if there is none."""
    found = [at for at, has_index in (await backups(blobs)).items() if has_index]
    meant = [at for at in found if until is None or to_millis(at) <= until]
    if meant:
        return await index_of(blobs, max(meant))
    if found:
        raise BackupError(f"there is no backup as old as that; the oldest is {in_utc(min(found))}")
    raise BackupError(
        "there is no backup in the bucket: see that bucket.url names the right one. holdfast "
        "rebuild makes a catalog out of the bucket alone"
    )
