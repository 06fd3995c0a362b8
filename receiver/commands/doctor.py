"""`holdfast doctor`."""

from __future__ import annotations

import click

from archiver.catalog.health import troubles
from archiver.sqlite import open_writer
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive


@click.command()
@click.pass_obj
def command(file: ConfigFile) -> None:
    """Look whether the catalog is whole and its search index in step; nothing is changed.

    It reads everything, beside a running service or without one. Exit code 1 if anything is amiss.
    """
    config = file.load()
    open_archive(config).close()
    connection = open_writer(config.catalog.path, create=False)
    try:
        found = list(troubles(connection))
    finally:
        connection.close()
    for sentence in found or ["all is well"]:
        click.echo(sentence)
    raise SystemExit(1 if found else 0)
