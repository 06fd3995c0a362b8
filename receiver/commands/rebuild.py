"""`holdfast rebuild`."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import sleep
from typing import Any

import click

from archiver import clock
from archiver.blobs import BlobStore
from archiver.blobs.opening import open_blob_store
from archiver.catalog import CatalogReader
from archiver.catalog.usage import InUseError
from archiver.errors import CatalogUnavailableError, ConfigError
from archiver.recovery.comparing import Comparing
from archiver.recovery.findings import Finding, Tally
from archiver.recovery.locking import only_one
from archiver.recovery.new_catalog import discard
from archiver.recovery.rebuild import Rebuilding
from archiver.recovery.switching import next_path, offer, switch
from archiver.signing import Trust
from archiver.sqlite import require_safe_version
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive
from receiver.commands.consent import UnconfirmedError, agreed, yes_option
from receiver.commands.output import echo_json, json_option
from receiver.commands.rebuild_progress import in_words, progress, tell
from receiver.settings import Config
from receiver.signing import trust_of

_EPILOG = """\b
Example: holdfast rebuild --check, and then holdfast rebuild
Exit codes: 0 all is well; 1 it could not be done; 2 wrong usage; 3 something in the bucket was
refused or is gone, or the index differs, and the lines say what."""

_LOOK_SECONDS = 0.2


@dataclass(kw_only=True)
class _Order:
    """What is to be done, and whether anything was found that may be a loss."""

    check: bool
    into: Path | None
    yes: bool
    believe_empty: bool
    as_json: bool
    found: list[Finding] = field(default_factory=list)

    def made(self, config: Config) -> Path:
        """The file in which the new index is made."""
        path = config.catalog.path
        return self.into or path.with_name(f"{path.name}.{'check' if self.check else 'rebuilding'}")

    def tell(self, finding: Finding) -> None:
        """Says what is amiss, and remembers only what may be a loss."""
        tell(finding, as_json=self.as_json)
        if finding.is_loss:
            self.found.append(finding)

    def sum_up(self, **said: Any) -> None:
        """The last line, for machines."""
        if self.as_json:
            echo_json({"kind": "summary", "losses": len(self.found), **said})


@click.command(epilog=_EPILOG)
@click.option("--check", is_flag=True, help="Change nothing: compare the index with the bucket.")
@click.option(
    "--into",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Only make the new index, in that file.",
)
@click.option("--require-signed", is_flag=True, help="Refuse what is not signed by a trusted key.")
@click.option(
    "--believe-empty",
    is_flag=True,
    help="Even if the new index knows less than half of what the present one does.",
)
@yes_option
@json_option
@click.pass_obj
def command(file: ConfigFile, /, require_signed: bool, **typed: Any) -> None:
    """Make the index anew out of the bucket alone, and put it in the place of the one there is.

    Archive numbers stay as the manifests have them, nothing archived is fetched again, and what the
    inboxes still hold is absorbed once more. A running service takes webhooks in all the while; it
    ends the roles that use the index for the moment of the switch. The old index is kept.
    """
    config = file.load()
    order = _Order(**typed)
    if order.into is not None and (order.check or order.into.exists()):
        raise click.UsageError("--into takes a file that is not there yet, and no --check")
    require_safe_version(allow_unsafe=config.catalog.allow_unsafe_sqlite)
    trust = trust_of(config, required=require_signed)
    if require_signed and not trust.keys:
        raise ConfigError(
            "nobody's signature is trusted: set manifests.signing_key_file or trusted_keys"
        )
    config.catalog.folder.mkdir(parents=True, exist_ok=True)
    try:
        with only_one(config.catalog.folder / "rebuild.lock", "another rebuild is under way"):
            _carry_out(config, trust, order)
    except KeyboardInterrupt:
        click.echo("stopped; the index is as it was, and the same command begins anew", err=True)
        raise SystemExit(1) from None
    raise SystemExit(3 if order.found else 0)


def _carry_out(config: Config, trust: Trust, order: _Order) -> None:
    path, made = config.catalog.path, order.made(config)
    replaces = not (order.check or order.into) and _count(path) > 0
    if replaces and not order.yes and not sys.stdin.isatty():
        raise UnconfirmedError("nothing was done: say --yes to replace the index, or --check")
    try:
        tally = asyncio.run(_make(config, trust, order))
        if not order.check and order.into is None:
            _put_in_place(path, made, tally.generations, order)
        order.sum_up(**asdict(tally))
    finally:
        if made != order.into:
            discard(made)


async def _make(config: Config, trust: Trust, order: _Order) -> Tally:
    """The new index in its file, or the comparison; what it came to."""
    bucket = config.bucket
    blobs = open_blob_store(bucket.url, endpoint=bucket.endpoint, region=bucket.region)
    made = order.made(config)
    rebuilding = Rebuilding(blobs, made, trust=trust, now=clock.now(), tell=order.tell)
    try:
        with progress(rebuilding.tally):
            await rebuilding.run()
        click.echo(in_words(rebuilding.tally), err=True)
        if order.check:
            await _compare(config, blobs, rebuilding, trust, order)
    finally:
        await blobs.close()
    return rebuilding.tally


async def _compare(
    config: Config, blobs: BlobStore, rebuilding: Rebuilding, trust: Trust, order: _Order
) -> None:
    present, rebuilt = open_archive(config), CatalogReader(order.made(config))
    comparing = Comparing(
        present=present, rebuilt=rebuilt, blobs=blobs, trust=trust, forgotten=rebuilding.forgotten
    )
    count = 0
    try:
        async for difference in comparing.differences():
            count += 1
            name = "/".join(difference.name)
            order.tell(Finding(kind="different", subject=name, says=difference.says))
    finally:
        present.close()
        rebuilt.close()
    if count:
        click.echo(
            f"{count:,} generations differ: see first that bucket.url names the right bucket, and "
            "that its disk is mounted; then holdfast rebuild",
            err=True,
        )
    else:
        click.echo("no generation differs", err=True)


def _put_in_place(path: Path, made: Path, count: int, order: _Order) -> None:
    known = _count(path)
    if count * 2 < known and not order.believe_empty:
        raise UnconfirmedError(
            f"nothing was done: the new index would know {count:,} generations, and the present "
            f"one knows {known:,}. Is bucket.url the right bucket, and is its disk mounted? "
            "--believe-empty replaces the index all the same"
        )
    if known:
        click.echo(
            f"the new index knows {count:,} generations, and the present one {known:,}: what has "
            "no manifest yet comes again from the inboxes. The present one is kept beside it",
            err=True,
        )
        agreed("Put the new index in its place?", yes=order.yes)
    refused = path.with_name(f"{path.name}.refused")
    discard(refused)
    offer(made, path)
    try:
        switched = switch(path)
    except InUseError:
        click.echo("the running service puts it in its place…", err=True)
        while next_path(path).exists():
            sleep(_LOOK_SECONDS)
        if refused.exists():
            raise CatalogUnavailableError("the service has refused it; its log says why") from None
        switched = None
    if switched is not None and switched.trouble:
        click.echo(f"the old index could not be read: {switched.trouble}", err=True)
    kept = f"; the old one is {switched.aside}" if switched and switched.aside else ""
    click.echo(f"the new index is in its place{kept}", err=True)


def _count(path: Path) -> int:
    """How many generations the present index knows; 0 if there is none, or it cannot be read."""
    if not path.exists():
        return 0
    reader = CatalogReader(path)
    try:
        with reader.view() as tables:
            return sum(tables.generations.count_by_state().values())
    except CatalogUnavailableError as error:
        click.echo(f"the present index cannot be read: {error}", err=True)
        return 0
    finally:
        reader.close()
