"""`holdfast adopt`."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta

import click

from archiver import clock
from archiver.catalog import CatalogReader
from archiver.errors import ConfigError
from archiver.models import Observation
from receiver.accounts import open_accounts
from receiver.adoption import LISTS, Listing, Page
from receiver.cli import ConfigFile
from receiver.command_inbox import command_inbox
from receiver.commands.archive import open_archive
from receiver.commands.output import console, echo_json, json_option, table
from receiver.provider_tables import Api
from receiver.settings import Config
from receiver.upstream import Upstream

_EPILOG = """\b
Example: holdfast adopt --provider dashscope --since 24h --dry-run
Exit codes: 0 all that is listed is known now, 1 the provider could not be asked to the end."""


def span(text: str) -> timedelta:
    """`24h`, `90m`, `2d` or `30s` as a span of time; raises ValueError."""
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not (number.isascii() and number.isdigit() and len(number) < 6):
        raise ValueError(f"{text!r} is no span of time such as 24h, 90m or 2d")
    return timedelta(**{units[unit]: int(number)})


def _span(_context: click.Context, _option: click.Parameter, typed: str) -> timedelta:
    try:
        return span(typed)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@dataclass(kw_only=True)
class Tally:
    """What was found, as it is found."""

    known: int = 0
    adopted: list[Observation] = field(default_factory=list)


@click.command(epilog=_EPILOG)
@click.option("--provider", type=click.Choice(sorted(LISTS)), required=True)
@click.option(
    "--since", callback=_span, default="24h", show_default=True, help="How far back: 24h, 90m, 2d."
)
@click.option("--dry-run", is_flag=True, help="Only show what would be adopted.")
@json_option
@click.pass_obj
def command(
    file: ConfigFile, provider: str, since: timedelta, dry_run: bool, as_json: bool
) -> None:
    """Take in what the provider lists and holdfast never heard of: the way back after an outage.

    Every key in providers.NAME.keys is asked with. The service fetches the pictures, now or when
    it runs again; running this twice does no harm.
    """
    config = file.load()
    tally = asyncio.run(_adopt(config, provider, since, dry_run=dry_run))
    adopted = [
        {"provider": it.provider, "id": it.generation_id, "state": it.state.value}
        for it in tally.adopted
    ]
    if as_json:
        echo_json({"adopted": adopted, "known": tally.known, "dry_run": dry_run})
        return
    rows = table("provider", "id", "state")
    for row in adopted:
        rows.add_row(*row.values())
    if adopted:
        console().print(rows)
    verb = "would be adopted" if dry_run else "adopted"
    click.echo(f"{len(adopted)} {verb}, {tally.known} known already", err=True)


def _api(config: Config, provider: str) -> Api:
    api = config.providers.of(provider)
    if api is None or not api.keys:
        raise ConfigError(
            f"there is no key to ask {provider} with: put one into providers.{provider}.keys"
        )
    return api


async def _adopt(config: Config, provider: str, since: timedelta, *, dry_run: bool) -> Tally:
    api, archive, tally = _api(config, provider), open_archive(config), Tally()
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream())
        inbox = None if dry_run else await stack.enter_async_context(command_inbox(config))
        listing = Listing(
            provider=provider,
            api=api,
            upstream=upstream,
            accounts=open_accounts(config.catalog.folder),
            now=clock.now,
        )
        for label, api_key in api.keys.items():
            async for page in listing.pages(api_key, since=clock.now() - since):
                fresh = _unheard(archive, page)
                tally.known += len(page.says) - len(fresh)
                tally.adopted += fresh
                if fresh and inbox is not None:
                    await inbox.append(page.delivery)
                click.echo(f"{label}: {len(tally.adopted)} new so far", err=True)
    return tally


def _unheard(archive: CatalogReader, page: Page) -> list[Observation]:
    """Those of a page that the catalog does not know."""
    names = [(it.provider, it.generation_id) for it in page.says]
    with archive.view() as tables:
        known = tables.generations.load_all(names)
    return [it for it, name in zip(page.says, names, strict=True) if name not in known]
