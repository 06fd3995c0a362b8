"""`holdfast audit`."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import click

from archiver import clock
from archiver.blobs import BlobStore
from archiver.blobs.opening import open_blob_store
from archiver.body import Budget
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.fixity import AuditRow
from archiver.catalog.migrating import migrate
from archiver.egress import Egress
from archiver.errors import HoldfastError
from archiver.query.values import size_bytes
from archiver.recovery.audit import BYTES, HEAD, Audit
from archiver.recovery.bandwidth import Bandwidth
from archiver.recovery.looking import look, read_all
from archiver.recovery.mending import Mending
from archiver.recovery.sample import Sample, sample_of
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive
from receiver.commands.audit_report import Summary, progress, report, tell_plan
from receiver.commands.output import json_option
from receiver.inboxes import Inboxes
from receiver.roles.archive import download_hosts, egress_policy
from receiver.settings import Config
from receiver.stores import inboxes_of

_EPILOG = """\b
Example: holdfast audit --deep --bandwidth 20MB
Exit codes: 0 every object is well, 1 the audit could not finish or could not read some of them,
3 objects were missing or damaged, and the list says which and whether they were brought back."""

# Between two commits; what a stop in between costs is looking at so many again.
_PORTION = {HEAD: 256, BYTES: 64}


def _sample(_context: click.Context, _option: click.Parameter, typed: str | None) -> Sample | None:
    try:
        return sample_of(typed) if typed is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _bandwidth(_context: click.Context, _option: click.Parameter, typed: str | None) -> int | None:
    span = size_bytes(typed) if typed is not None else None
    if typed is not None and (span is None or span[0] < 1):
        raise click.BadParameter(f"{typed!r} is no number of bytes such as 20MB")
    return int(span[0]) if span else None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Order:
    """What is to be looked at, and how."""

    sample: Sample | None
    deep: bool
    bandwidth: int | None
    at_once: int
    resume: bool
    believe_empty: bool

    @property
    def how(self) -> str:
        """In the word of the table."""
        return BYTES if self.deep else HEAD


@click.command(epilog=_EPILOG)
@click.option(
    "--sample", callback=_sample, metavar="1%|200", help="Only so many objects, drawn at random."
)
@click.option("--deep", is_flag=True, help="Read every byte and hash it, not only ask the store.")
@click.option(
    "--bandwidth",
    callback=_bandwidth,
    metavar="20MB",
    help="With --deep: at most so much a second.",
)
@click.option(
    "--at-once", type=click.IntRange(1, 256), default=16, show_default=True, help="Objects."
)
@click.option("--resume", is_flag=True, help="Go on where the last such audit was stopped.")
@click.option("--dry-run", is_flag=True, help="Only say how much there is to look at.")
@click.option("--yes", "believe_empty", is_flag=True, help="Even if the bucket has no object.")
@json_option
@click.pass_obj
def command(file: ConfigFile, /, dry_run: bool, as_json: bool, **typed: object) -> None:
    """Look whether every object is still in the bucket, whole: its size, and its checksum where
    the store keeps one; with --deep its bytes.

    What is missing or damaged is fetched again while a link to it lives, and put back only if it
    is the very same; else it is marked (`is:damaged` finds it) and reported. Thumbnails are not
    looked at, for they can be made again. Beside a running service or without one.
    """
    order = _Order(**typed)  # type: ignore[arg-type]  # click gives what it declares
    config = file.load()
    reader = open_archive(config)
    migrate(config.catalog.where)
    try:
        if dry_run:
            tell_plan(reader, order.sample, order.how, order.bandwidth, as_json=as_json)
            return
        summary = _carry_out(config, reader, order, as_json=as_json)
    finally:
        reader.close()
    if summary.finished and summary.lost:
        raise SystemExit(3)
    raise SystemExit(0 if summary.finished and not summary.unreadable else 1)


def _carry_out(config: Config, reader: CatalogReader, order: _Order, *, as_json: bool) -> Summary:
    """Runs the audit and tells what it found, also when something comes in between."""
    bucket = config.bucket
    blobs = open_blob_store(bucket.url, endpoint=bucket.endpoint, region=bucket.region)
    audit: list[AuditRow] = []
    try:
        asyncio.run(_audit(config, reader, blobs, order, audit.append))
    except (HoldfastError, KeyboardInterrupt) as error:
        if not audit:
            raise
        why = "stopped" if isinstance(error, KeyboardInterrupt) else f"Error: {error}"
        summary = report(reader, audit[0], as_json=as_json)
        click.echo(f"{why}\nto go on: {_again(order)}", err=True)
        return summary
    return report(reader, audit[0], as_json=as_json)


async def _audit(
    config: Config,
    reader: CatalogReader,
    blobs: BlobStore,
    order: _Order,
    begun: Callable[[AuditRow], None],
) -> None:
    catalog, inboxes = Catalog(config.catalog.where), Inboxes(inboxes_of(config.catalog))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(blobs.close)
        await catalog.start()
        stack.push_async_callback(catalog.close)
        stack.callback(inboxes.close)
        egress = await stack.enter_async_context(Egress(egress_policy(config)))
        bandwidth = Bandwidth(order.bandwidth, monotonic=clock.monotonic, sleep=asyncio.sleep)
        mending = Mending(
            egress=egress,
            blobs=blobs,
            catalog=reader,
            reveal=inboxes.reveal,
            download_hosts=lambda provider: download_hosts(config, provider),
            budget=Budget(config.archive.memory_bytes),
            spool=config.catalog.folder / "spool",
            now=clock.now,
        )
        audit = Audit(
            catalog=catalog,
            reader=reader,
            blobs=blobs,
            deep=order.deep,
            look=partial(look, blobs),
            read=partial(read_all, blobs, bandwidth=bandwidth),
            mend=mending.mend,
            at_once=order.at_once,
            portion=_PORTION[order.how],
            believe_empty=order.believe_empty,
            now=clock.now,
        )
        row = await catalog.write(partial(_begin, order))
        begun(row)
        total, _ = await reader.read(lambda tables: tables.fixity.amount())
        with progress(order.sample.count(total) if order.sample else total, row.checked) as told:
            await audit.run(row, order.sample, progress=told)


def _begin(order: _Order, tables: Tables) -> AuditRow:
    """The run to go on with, or a new one."""
    sample = order.sample.text if order.sample else ""
    known = tables.fixity.unfinished(order.how, sample) if order.resume else None
    return known or tables.fixity.begin(order.how, sample, seed=os.urandom(16), now=clock.now())


def _again(order: _Order) -> str:
    """What to type to go on."""
    config_file = click.get_current_context().find_root().params.get("file")
    config = ("--config", str(config_file)) if config_file else ()
    sample = ("--sample", order.sample.text) if order.sample else ()
    deep = ("--deep",) if order.deep else ()
    limit = ("--bandwidth", str(order.bandwidth)) if order.bandwidth else ()
    return shlex.join(["holdfast", *config, "audit", *sample, *deep, *limit, "--resume"])
