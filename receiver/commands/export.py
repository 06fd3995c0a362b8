"""`holdfast export`."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from archiver import clock
from archiver.blobs import BlobStore
from archiver.blobs.opening import open_blob_store
from archiver.catalog import CatalogReader
from archiver.errors import HoldfastError
from archiver.export import Format
from archiver.exporting.pages import pages
from archiver.exporting.pictures import Tally
from archiver.exporting.zipped import zipped
from archiver.query import Query
from archiver.search import count
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive
from receiver.commands.export_file import (
    Bookmark,
    ExportError,
    bookmark_of,
    write_lines,
    write_stdout,
    write_whole,
)
from receiver.commands.export_folder import write_folder
from receiver.commands.export_progress import in_words, progress
from receiver.commands.output import echo_json, json_option
from receiver.commands.search import asked, parsed
from receiver.settings import Config

_STDOUT = Path("-")

_EPILOG = (
    "Exit codes: 0 all is exported, 1 an error, 3 pictures are lost in the bucket, and the index "
    "says which. Whatever ends it, the same command goes on where it was; only a ZIP begins anew."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Order:
    """What is wanted, and where; without a format it is a folder."""

    words: tuple[str, ...]
    out: Path
    form: Format | None

    @property
    def text(self) -> str:
        """The query."""
        return asked(self.words)

    @property
    def goes_on(self) -> bool:
        """Whether it is lines in a file, which bear a bookmark."""
        return self.form in (Format.NDJSON, Format.CSV) and self.out != _STDOUT


# So that -whale is a word to leave out, and not the -h within it a call for help.
@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    epilog=_EPILOG,
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--out",
    type=click.Path(path_type=Path, allow_dash=True),
    help="A folder, or a file that ends in .ndjson, .csv or .zip; - is the standard output.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in Format]),
    help="Where the name does not say it.  [default of -: ndjson]",
)
@json_option
@click.pass_context
def command(
    context: click.Context,
    words: tuple[str, ...],
    out: Path | None,
    form: str | None,
    as_json: bool,
) -> None:
    """Export what a query finds: pictures with their manifests, or only all that is known of them.

    The query is that of `holdfast search`; none finds everything.

    \b
    Examples:
    holdfast export 'provider:dashscope archived:2026-11' --out november/
    holdfast export 'state:held,dead' --out lost.csv
    """
    if words == ("-h",):
        click.echo(context.get_help())
        return
    if out is None:
        raise click.UsageError("say where to: --out FOLDER, or --out FILE")
    if as_json and out == _STDOUT:
        raise click.UsageError("--json tells what came of files; with --out - leave it out")
    file: ConfigFile = context.obj
    order = _Order(words=words, out=out, form=_format_of(out, form))
    tally = Tally()
    _carry_out(file.load(), order, tally)
    where = "" if out == _STDOUT else f", in {out}"
    click.echo(f"{in_words(tally)}{where}", err=True)
    if as_json:
        echo_json({"out": str(out), **asdict(tally)})
    raise SystemExit(3 if tally.lost else 0)


def _format_of(out: Path, form: str | None) -> Format | None:
    """The format that the option or the name says; None for a folder."""
    named = out.suffix.lower().removeprefix(".")
    if out.is_dir() or not (form or named or out == _STDOUT):
        if form is not None:
            raise click.UsageError(f"{out} is a folder, which takes no --format")
        return None
    if not form and out != _STDOUT and named not in tuple(Format):
        raise click.UsageError(
            f"{out} says no format: end it in .ndjson, .csv or .zip, or add --format; should it be "
            "a folder, make it first"
        )
    chosen = Format(form or named or Format.NDJSON)
    if chosen is Format.ZIP and out == _STDOUT:
        raise click.UsageError("a ZIP goes into a file: --out FILE.zip")
    return chosen


def _carry_out(config: Config, order: _Order, tally: Tally) -> None:
    """Exports, and says how to go on if something comes in between."""
    archive = open_archive(config)
    so_far = _so_far(order)
    query = parsed(order.text, now=so_far.begun_at)
    with archive.view() as tables:
        found = count(tables, query)
    bucket = config.bucket
    blobs = open_blob_store(bucket.url, endpoint=bucket.endpoint, region=bucket.region)
    try:
        with progress(tally, total=found.number if found.exact else None):
            asyncio.run(_export(archive, blobs, query, order, so_far, tally))
    except (ExportError, BrokenPipeError):
        raise
    except (HoldfastError, OSError, KeyboardInterrupt) as error:
        click.echo(f"{_why(error)}\nto go on: {_again(order)}", err=True)
        raise SystemExit(1) from error
    finally:
        archive.close()


def _so_far(order: _Order) -> Bookmark:
    """Where to begin: at the beginning, or where lines were broken off; raises ExportError."""
    form = order.form or Format.NDJSON
    known = bookmark_of(order.out) if order.goes_on else None
    if known is None:
        return Bookmark(query=order.text, format=form, begun_at=clock.now())
    if (known.query, known.format) != (order.text, form):
        raise ExportError(
            f"{order.out}.part is of the query {known.query!r}, as {known.format}, which goes on "
            f"if that is typed; remove it and {order.out}.part.json to begin another"
        )
    return known


async def _export(
    archive: CatalogReader,
    blobs: BlobStore,
    query: Query,
    order: _Order,
    so_far: Bookmark,
    tally: Tally,
) -> None:
    out, found = order.out, pages(archive, query, cursor=so_far.cursor)
    try:
        if order.form is None:
            await write_folder(found, blobs, out, tally)
        elif order.form is Format.ZIP:
            made = zipped(found, blobs, spool_dir=out.parent, at=so_far.begun_at, tally=tally)
            await write_whole(made, out)
        elif order.goes_on:
            await write_lines(found, out, so_far, tally)
        else:
            await write_stdout(found, order.form, tally)
    finally:
        await blobs.close()


def _why(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "stopped"
    if isinstance(error, OSError):
        return f"Error: {error.filename or 'the disk'}: {error.strerror}; what is written stays"
    return f"Error: {error}"


def _again(order: _Order) -> str:
    """What to type to go on."""
    config_file = click.get_current_context().find_root().params.get("file")
    config = ("--config", str(config_file)) if config_file else ()
    form = ("--format", str(order.form)) if order.form else ()
    return shlex.join(["holdfast", *config, "export", *order.words, "--out", str(order.out), *form])
