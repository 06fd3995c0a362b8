"""`holdfast reindex`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import click
from rich.console import Console
from rich.progress import Progress

from archiver.catalog import Catalog
from archiver.catalog.migrating import migrate
from archiver.indexing import fill
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive
from receiver.commands.output import echo_json, json_option
from receiver.settings import Config

_EPILOG = """\b
Example: holdfast reindex
Exit codes: 0 all is indexed anew, 1 there is no archive, or its disk failed."""


@click.command(epilog=_EPILOG)
@json_option
@click.pass_obj
def command(file: ConfigFile, as_json: bool) -> None:
    """Fill the search index anew from the catalog, beside a running service or without one.

    Nothing is searched for in vain meanwhile, and it may be stopped and started again.
    """
    config = file.load()
    with open_archive(config).view() as tables:
        total = sum(tables.generations.count_by_state().values())
    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("indexing", total=total)
        asyncio.run(_reindex(config, lambda count: bar.advance(task, count)))
    if as_json:
        echo_json({"generations": total})
    else:
        click.echo(f"{total:,} generations are indexed anew")


async def _reindex(config: Config, progress: Callable[[int], None]) -> None:
    where = config.catalog.where
    await asyncio.to_thread(migrate, where)
    catalog = Catalog(where)
    await catalog.start()
    try:
        # FTS5 takes its own tables for granted; they are made anew from the texts first.
        await catalog.write(lambda tables: tables.texts.rebuild())
        await fill(catalog, everything=True, progress=progress)
    finally:
        await catalog.close()
