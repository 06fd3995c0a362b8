"""`holdfast backup`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from archiver import clock
from archiver.blobs import BlobStore
from archiver.catalog import CatalogReader
from archiver.errors import BackupError, BucketError, ManifestError
from archiver.inbox.sqlite import inbox_files
from archiver.moments import to_text
from archiver.recovery.backup import backups, index_of
from archiver.recovery.backup_index import BackupIndex, superfluous
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive, writing
from receiver.commands.consent import dry_run_option
from receiver.commands.output import console, echo_json, json_option, table
from receiver.commands.restore_report import in_utc
from receiver.roles.backups import backup_of, take
from receiver.roles.bucket import bucket_of
from receiver.settings import Config

_EPILOG = """\b
Example: holdfast backup && holdfast backup --list
Exit codes: 0 backed up, 1 an error: the older backups stay as they are."""


@click.command(epilog=_EPILOG)
@click.option(
    "--list", "only_list", is_flag=True, help="Show the backups there are, and take none."
)
@dry_run_option
@json_option
@click.pass_obj
def command(file: ConfigFile, /, only_list: bool, dry_run: bool, as_json: bool) -> None:
    """Back the catalog and all inboxes up into the bucket, now, beside a running service.

    The service does the same every `backup.every_hours`. Of older backups the newest `backup.keep`
    stay. The inboxes hold full links to pictures: keep the bucket as confidential as them.
    """
    config = file.load()
    archive = CatalogReader(config.catalog.path)
    blobs = bucket_of(config, archive)
    if only_list:
        _tell_list(asyncio.run(_listed(blobs)), as_json=as_json)
        return
    open_archive(config).close()
    if dry_run:
        _tell_plan(config, asyncio.run(_to_go(config, blobs)), as_json=as_json)
        return
    try:
        index, removed = asyncio.run(_back_up(config, blobs, archive))
    except KeyboardInterrupt as error:
        raise BackupError("stopped; there is no new backup, and the older ones stay") from error
    if as_json:
        echo_json({**_described(index), "removed": removed})
        return
    older = f"; {removed} older removed" if removed else ""
    size = f"{decimal(index.stored_bytes)} in the bucket"
    click.echo(f"backed up as of {in_utc(index.taken_at)}: {_in_words(index)}, {size}{older}")


async def _back_up(
    config: Config, blobs: BlobStore, archive: CatalogReader
) -> tuple[BackupIndex, int]:
    try:
        async with writing(config) as catalog:
            with _progress() as progress:
                backup = replace(backup_of(config, blobs), progress=progress)
                return await take(backup, catalog, archive, config.backup.keep)
    finally:
        archive.close()
        await blobs.close()


async def _to_go(config: Config, blobs: BlobStore) -> list[datetime]:
    """Those that a backup now would have removed."""
    try:
        found = await backups(blobs)
    finally:
        await blobs.close()
    now = clock.now().replace(microsecond=0)
    return superfluous({**found, now: True}, keep=config.backup.keep, taken_at=now, now=now)


async def _listed(blobs: BlobStore) -> list[tuple[datetime, BackupIndex | str]]:
    """Every backup with its index, or why that cannot be read."""
    listed: list[tuple[datetime, BackupIndex | str]] = []
    try:
        for at, has_index in (await backups(blobs)).items():
            try:
                listed.append((at, await index_of(blobs, at) if has_index else "not finished"))
            except (BucketError, ManifestError) as error:
                listed.append((at, str(error)))
    finally:
        await blobs.close()
    return listed


def _tell_list(listed: list[tuple[datetime, BackupIndex | str]], *, as_json: bool) -> None:
    if as_json:
        for at, index in listed:
            broken = {"taken_at": to_text(at), "broken": index}
            echo_json(_described(index) if isinstance(index, BackupIndex) else broken)
        return
    rows = table("taken at", "holdfast", "holds", "in the bucket")
    for at, index in listed:
        if isinstance(index, BackupIndex):
            size = decimal(index.stored_bytes)
            rows.add_row(in_utc(at), index.version, _in_words(index), size)
        else:
            rows.add_row(in_utc(at), "", f"no backup: {index}", "")
    if listed:
        console().print(rows)
    else:
        click.echo("there is no backup yet", err=True)


def _tell_plan(config: Config, to_go: list[datetime], *, as_json: bool) -> None:
    paths = [config.catalog.path, *inbox_files(config.catalog.inbox_folder)]
    size_bytes = sum(path.stat().st_size for path in paths)
    if as_json:
        removed = [to_text(at) for at in to_go]
        echo_json({"size_bytes": size_bytes, "removed": removed, "dry_run": True})
        return
    click.echo(f"{len(paths)} databases of {decimal(size_bytes)} would be backed up")
    for at in to_go:
        click.echo(f"the backup of {in_utc(at)} would be removed")


def _described(index: BackupIndex) -> dict[str, Any]:
    return {
        "taken_at": to_text(index.taken_at),
        "holdfast": index.version,
        "generations": index.generations,
        "stored_bytes": index.stored_bytes,
        "files": [
            {"name": file.name, "key": file.key, "size_bytes": file.size_bytes}
            for file in index.files
        ],
    }


def _in_words(index: BackupIndex) -> str:
    inboxes = sum(bool(file.inbox) for file in index.files)
    return f"{index.generations:,} generations and {inboxes} inboxes"


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar on stderr, where that is a terminal."""
    terminal = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn("backing up"),
        BarColumn(),
        DownloadColumn(),
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
