"""The role `gateway`: its own listener and inbox, so that no slow provider delays a webhook."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from secrets import token_bytes

from aiohttp import web

from archiver import clock
from archiver.blobs.opening import open_blob_store
from archiver.catalog import CatalogReader
from archiver.inbox import InboxWriter
from archiver.inbox.pruning import Pruner
from archiver.sqlite import require_safe_version
from receiver.accounts import Accounts, open_accounts
from receiver.admission import Admission
from receiver.doors import webhook_url
from receiver.gateway import Gateway
from receiver.healing import Healing
from receiver.listener import Handler, listening
from receiver.peers import FailureLimit
from receiver.pictures import PREFIX, PictureLinks, Pictures
from receiver.readiness import Readiness
from receiver.roles.process import DRAIN_SECONDS, Orders, main
from receiver.settings import Config
from receiver.stores import inboxes_of, start_inbox
from receiver.upstream import Upstream

NONCE_BYTES = 16


async def run(orders: Orders, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Passes requests on until told to stop, then finishes those under way."""
    config = orders.config
    require_safe_version(allow_unsafe=config.catalog.allow_unsafe_sqlite)
    accounts = open_accounts(config.catalog.folder)
    store = inboxes_of(config.catalog)
    inbox = store.writer("gateway")
    await start_inbox(inbox, config.catalog)
    readiness = Readiness(lambda: inbox.prove(clock.now()), monotonic=clock.monotonic)
    try:
        async with (
            Upstream() as upstream,
            _pictures(config, accounts) as pictures,
            Pruner(inbox=inbox, orders=partial(store.orders, "gateway")).at_work(),
            listening(
                _served(_gateway(config, upstream, inbox, accounts, pictures), readiness, pictures),
                orders.socket("gateway"),
                keepalive_seconds=config.listen.keepalive_seconds,
                max_connections=config.listen.max_connections,
                drain_seconds=DRAIN_SECONDS,
            ),
        ):
            ready()
            await stop.wait()
            readiness.drain()
    finally:
        await inbox.close()


@asynccontextmanager
async def _pictures(config: Config, accounts: Accounts) -> AsyncIterator[Pictures | None]:
    """Those that healed answers lead to; None where no provider's are to be healed."""
    if all(api.heal == "off" for api in config.providers.behind_gateway.values()):
        yield None
        return
    bucket = config.bucket
    blobs = open_blob_store(bucket.url, endpoint=bucket.endpoint, region=bucket.region)
    catalog = CatalogReader(config.catalog.where)
    links = PictureLinks(accounts.derived_key("links to pictures"))
    try:
        yield Pictures(links=links, catalog=catalog, blobs=blobs, now=clock.now)
    finally:
        await blobs.close()
        catalog.close()


def _gateway(
    config: Config,
    upstream: Upstream,
    inbox: InboxWriter,
    accounts: Accounts,
    pictures: Pictures | None,
) -> Gateway:
    apis = config.providers.behind_gateway
    healing = None
    if pictures is not None:
        catalog, links = pictures.catalog, pictures.links
        healing = Healing(apis=apis, catalog=catalog, links=links, now=clock.now)
    return Gateway(
        apis=apis,
        admission=Admission(
            config.gateway.networks,
            config.gateway.clients,
            FailureLimit(config.listen.failures_per_minute),
            monotonic=clock.monotonic,
        ),
        upstream=upstream,
        inbox=inbox,
        accounts=accounts,
        webhook_url=lambda name: webhook_url(config, name, token_bytes(NONCE_BYTES)),
        trusted_proxies=config.listen.proxies,
        max_body_bytes=config.gateway.max_body_bytes,
        answer_seconds=config.gateway.answer_seconds,
        now=clock.now,
        healing=healing,
    )


def _served(gateway: Gateway, readiness: Readiness, pictures: Pictures | None) -> Handler:
    signs = {"/healthz": readiness.healthz, "/readyz": readiness.readyz}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        sign = signs.get(request.path)
        if sign is not None:
            return await sign(request)
        if pictures is not None and request.path.startswith(PREFIX):
            return await pictures.handle(request)
        return await gateway.handle(request)

    return answer


if __name__ == "__main__":
    main("gateway", run)
