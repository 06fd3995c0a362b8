"""One command's submission, put together: desk, lookout, and the ways in and out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from archiver import clock
from archiver.catalog import CatalogReader
from archiver.errors import ConfigError
from receiver.accounts import open_accounts
from receiver.command_inbox import command_inbox
from receiver.doors import webhook_url
from receiver.provider_tables import Api
from receiver.providers.submitters import SUBMITTERS, Silence
from receiver.settings import Config
from receiver.submission.batch import Row
from receiver.submission.board import Board, shown
from receiver.submission.desk import Desk
from receiver.submission.doubt import Doubt
from receiver.submission.entries import Entry, Event
from receiver.submission.journal import Journal
from receiver.submission.lookout import Lookout
from receiver.submission.posting import Posting
from receiver.submission.sending import ApiKey, Sending
from receiver.upstream import Upstream


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What is to be submitted, with whose key, and whether until the pictures are safe.

    `apis` and `keys` are by provider, of those that the rows name.
    """

    config: Config
    rows: Sequence[Row]
    apis: dict[str, Api]
    keys: dict[str, ApiKey]
    wait: bool
    webhooks: bool


def order(
    config: Config, rows: Sequence[Row], *, key: str | None, wait: bool, webhooks: bool
) -> Order:
    """The order for these rows; `key` is the label of the API keys, by default the first.

    Raises ConfigError, saying which setting is missing.
    """
    apis = {row.provider: _api(config, row.provider) for row in rows}
    keys = {provider: _key(provider, api, key) for provider, api in apis.items()}
    return Order(config=config, rows=rows, apis=apis, keys=keys, wait=wait, webhooks=webhooks)


async def carry_out(
    ordered: Order,
    journal: Journal,
    board: Board,
    *,
    note: Callable[[str], None],
    stop: asyncio.Event,
) -> None:
    """Sends what is to be sent and follows it; `stop` ends both in order.

    Raises PausedError or whatever else kept it from sending everything.
    """
    config, catalog = ordered.config, CatalogReader(ordered.config.catalog.where)
    lookout = Lookout(catalog=catalog, board=board, journal=journal, note=note, now=clock.now)
    async with command_inbox(config) as inbox, Upstream() as upstream:
        await inbox.prove(clock.now())  # before anything costs money
        sending = Sending(
            journal=journal,
            posting=Posting(
                apis=ordered.apis,
                upstream=upstream,
                accounts=open_accounts(config.catalog.folder),
                inbox=inbox,
                now=clock.now,
            ),
            keys=ordered.keys,
            webhook_url=lambda provider, key: (
                webhook_url(config, provider, key.encode()[-32:]) if ordered.webhooks else None
            ),
        )
        desk = Desk(
            sending=sending,
            doubt=Doubt(sending=sending, catalog=catalog, stop=stop),
            board=board,
            lookout=lookout,
            limits={provider: api.limits for provider, api in ordered.apis.items()},
            stop=stop,
            now=clock.now,
        )
        for row in ordered.rows:
            board.show(row, shown(journal.standing(row.number)))
        await lookout.look()
        await _work(desk, lookout, stop, wait=ordered.wait)
    catalog.close()
    if desk.paused is not None:
        raise desk.paused


async def _work(desk: Desk, lookout: Lookout, stop: asyncio.Event, *, wait: bool) -> None:
    done = asyncio.Event()
    looking = asyncio.create_task(lookout.keep_looking(done))
    stopping = asyncio.create_task(stop.wait())
    try:
        await desk.send_all()
        if wait:
            await asyncio.wait((looking, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        done.set()
        stopping.cancel()
        await looking


def in_doubt(rows: Sequence[Row], journal: Journal) -> list[Row]:
    """The rows of which nobody can find out whether they were begun, unless a person looks."""
    return [
        row
        for row in rows
        if journal.standing(row.number).event is Event.SENDING
        and SUBMITTERS[row.provider].silence is not Silence.REPEAT
    ]


def mended(rows: Sequence[Row], journal: Journal) -> list[Row]:
    """The rows that were refused for good and now ask for something else."""
    standings = [(row, journal.standing(row.number)) for row in rows]
    refused = (Event.HELD, Event.DEAD)
    return [row for row, it in standings if it.event in refused and it.digest != row.digest]


def resend(row: Row, journal: Journal) -> None:
    """Lets a row be sent as if it had not been, for somebody has looked and says so."""
    entry = Entry(row=row.number, event=Event.WAITING, at=clock.now(), why="to be sent again")
    journal.append(entry)


def journal_of(batch: Path) -> Path:
    """Where the journal of a batch lies."""
    return batch.with_name(f"{batch.name}.journal")


def _api(config: Config, provider: str) -> Api:
    api = config.providers.of(provider)
    if api is None:
        raise ConfigError(f"there is no table [providers.{provider}] in the configuration")
    return api


def _key(provider: str, api: Api, label: str | None) -> ApiKey:
    setting = f"providers.{provider}.keys"
    if not api.keys:
        raise ConfigError(f'{setting} holds no API key: write {setting} = {{ "mine" = "…" }}')
    if label is None:
        label = next(iter(api.keys))
    if label not in api.keys:
        raise ConfigError(f"--key {label}: {setting} has {', '.join(api.keys)}")
    return ApiKey(label=label, secret=api.keys[label])
