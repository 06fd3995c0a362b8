"""`holdfast search`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import click

from archiver import clock
from archiver.catalog import Tables
from archiver.query import Query, QueryError, parse
from archiver.search import CursorError, Hit, Page, count, search
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


# So that -whale is a word to leave out, and not the -h within it a call for help.
@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    epilog="Exit codes: 0 it was searched, whatever was found, 1 there is no archive to search, "
    "2 the query is wrong, and where is said.",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--cursor", help="Go on where an earlier page ended.")
@json_option
@click.pass_context
def command(
    context: click.Context, words: tuple[str, ...], limit: int, cursor: str | None, as_json: bool
) -> None:
    """Find pictures by words, "phrases", begin*, -not, OR, ( ) and fields, newest first.

    Fields: provider service model version state origin scheduler type size width height steps scale
    cost bytes seed id job track sha256 created completed archived is neg sort.

    \b
    Examples:
    holdfast search 'cyberpunk 少女 provider:dashscope steps:20..40 -is:drawn'
    holdfast search 'state:held,dead archived:7d'
    holdfast search 'lighthouse sort:bytes'
    """
    if words == ("-h",):
        click.echo(context.get_help())
        return
    text = asked(words)
    query = parsed(text, now=clock.now())
    file: ConfigFile = context.obj
    archive = open_archive(file.load())
    with archive.view() as tables:
        page = _page(tables, query, cursor, limit)
        found = count(tables, query)
    if as_json:
        echo_json(_as_json(page, found.number, exact=found.exact))
        return
    for hint in query.hints:
        click.echo(_pointed(text, hint.position, hint.sentence), err=True)
    if not page.hits and page.cursor is None:
        click.echo("nothing found", err=True)
        return
    listing = table("number", "state", "generation", "prompt")
    for hit in page.hits:
        listing.add_row(*_row(hit), style=STATE_STYLES.get(hit.card.state))
    console().print(listing)
    if page.cursor is not None:
        more = f"{found.number:,} in all" if found.exact else f"more than {found.number:,} in all"
        click.echo(f"{more}; go on with --cursor {page.cursor}", err=True)


def asked(words: tuple[str, ...]) -> str:
    """The query that was typed; raises UsageError for what can only be a mistaken option."""
    for word in words:
        if word.startswith("--"):
            raise click.NoSuchOption(word.partition(" ")[0])
    return typed(" ".join(words))


def parsed(text: str, *, now: datetime) -> Query:
    """What was typed, understood; raises UsageError, which points at the character."""
    try:
        return parse(text, now=now)
    except QueryError as error:
        raise click.UsageError(_pointed(text, error.position, str(error))) from error


def _page(tables: Tables, query: Query, cursor: str | None, limit: int) -> Page:
    """A whole page, however long it takes: who types can wait, and can stop it."""
    try:
        page = search(tables, query, cursor=cursor, limit=limit)
        hits = page.hits
        while page.partial and len(hits) < limit:
            page = search(tables, query, cursor=page.cursor, limit=limit - len(hits))
            hits += page.hits
    except CursorError as error:
        raise click.UsageError(str(error)) from error
    return replace(page, hits=hits, partial=False)


def _as_json(page: Page, number: int, *, exact: bool) -> dict[str, Any]:
    return {
        "hits": [hit_summary(hit) for hit in page.hits],
        "cursor": page.cursor,
        "partial": page.partial,
        "count": {"number": number, "exact": exact},
    }


def _pointed(text: str, position: int, sentence: str) -> str:
    """The place in what was typed, as far as a line has room for it, and what is said of it."""
    begin = max(0, position - 30)
    place = one_line(text[begin : position + 30], width=60)
    return f"at character {position + 1}, {place!r}: {sentence}"


def _row(hit: Hit) -> tuple[str, str, str, str]:
    card = hit.card
    name = one_line(f"{card.provider}/{card.generation_id}", width=40)
    return str(card.number), card.state.value, name, one_line(hit.prompt, width=70)
