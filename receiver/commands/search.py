"""`holdfast search`."""

from __future__ import annotations

import click

from archiver.search import Hit, search
from archiver.story import hit_summary
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive
from receiver.commands.output import (
    STATE_STYLES,
    console,
    echo_json,
    json_option,
    one_line,
    table,
    typed,
)


@click.command()
@click.argument("words", nargs=-1)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option(
    "--cursor", type=click.IntRange(0, (1 << 63) - 1), help="Continue below this archive number."
)
@json_option
@click.pass_obj
def command(
    file: ConfigFile, words: tuple[str, ...], limit: int, cursor: int | None, as_json: bool
) -> None:
    """Find pictures by words: of the prompt, the id, the service, the day; newest first."""
    archive = open_archive(file.load())
    with archive.view() as tables:
        page = search(tables, typed(" ".join(words)), cursor=cursor, limit=limit)
    if as_json:
        hits = [hit_summary(hit) for hit in page.hits]
        echo_json({"hits": hits, "cursor": page.cursor})
        return
    out = console()
    if not page.hits:
        click.echo("nothing found", err=True)
        return
    listing = table("number", "state", "generation", "prompt")
    for hit in page.hits:
        listing.add_row(*_row(hit), style=STATE_STYLES.get(hit.slot.state))
    out.print(listing)
    if page.cursor is not None:
        click.echo(f"more: --cursor {page.cursor}", err=True)


def _row(hit: Hit) -> tuple[str, str, str, str]:
    generation = hit.generation
    name = one_line(f"{generation.provider}/{generation.id}", width=40)
    prompt = one_line(generation.params.prompt, width=70)
    return str(hit.number), hit.slot.state.value, name, prompt
