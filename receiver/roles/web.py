"""The role `web`: the private listener. Its searches and readers slow nobody but itself.

It reads the catalog, and writes in it only for renderers that reach it over HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from random import SystemRandom

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from archiver import clock
from archiver.blobs import BlobStore
from archiver.body import Budget
from archiver.catalog import Catalog, CatalogReader
from archiver.desk.catalog import CatalogDesk
from archiver.gauges import BacklogGauges, BuildInfo, CatalogGauges, DiskGauges
from archiver.inbox.pruning import Pruner
from archiver.looks import Looks
from archiver.sqlite import require_safe_version
from archiver.store import Store
from archiver.web.api import ArchiveApi
from archiver.web.described import described
from archiver.web.error_pages import error_pages
from archiver.web.exporting import ExportApi
from archiver.web.gallery import Gallery
from archiver.web.jobs import JobsApi
from archiver.web.looks import LooksApi
from archiver.web.origins import BucketOrigin
from archiver.web.rendering import Pages
from archiver.web.searching import SearchApi
from archiver.web.viewing import Viewing
from receiver.access import Keyring, guard
from receiver.accounts import open_accounts
from receiver.listener import listening
from receiver.login import Login
from receiver.passes import Passes
from receiver.peers import FailureLimit
from receiver.private import Remembered, private_app
from receiver.providers.asked_again import as_request
from receiver.readiness import Readiness
from receiver.roles.backups import backup_every
from receiver.roles.bucket import bucket_of
from receiver.roles.process import DRAIN_SECONDS, Orders, main
from receiver.settings import Config
from receiver.stores import inboxes_of, start_inbox

# A pasted prompt is a query, too, and nine bytes to a character of most scripts.
MAX_LINE_BYTES = 1 << 15


async def run(orders: Orders, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serves the archive until told to stop."""
    config = orders.config
    require_safe_version(allow_unsafe=config.catalog.allow_unsafe_sqlite)
    store = inboxes_of(config.catalog)
    async with AsyncExitStack() as stack:
        catalog = CatalogReader(config.catalog.where)
        stack.callback(catalog.close)
        blobs = bucket_of(config, catalog)
        stack.push_async_callback(blobs.close)
        inbox = store.writer("web")
        await start_inbox(inbox, config.catalog)
        stack.push_async_callback(inbox.close)
        pruner = Pruner(inbox=inbox, orders=partial(store.orders, "web"))
        await stack.enter_async_context(pruner.at_work())

        async def prove() -> None:
            await inbox.prove(clock.now())
            await catalog.read(lambda tables: tables.deliveries.last_beat_at("archive"))

        readiness = Readiness(prove, monotonic=clock.monotonic)
        bound = orders.socket("private")
        # Where it stands, not where the configuration would have put it: it may be handed over.
        host = bound.getsockname()[0]
        spool_dir = config.catalog.folder / "spool"
        looks, passes, keyring = Looks(), _passes(config), _keyring(config)
        pages = Pages(with_logout=passes is not None)
        app = private_app(
            archive=[
                *ArchiveApi(catalog, blobs, now=clock.now).routes(),
                *SearchApi(catalog, now=clock.now).routes(),
                *ExportApi(catalog, blobs, spool_dir=spool_dir, now=clock.now).routes(),
                *LooksApi(catalog, blobs, looks).routes(),
                *described(),
                *JobsApi(await _desk(config, catalog, blobs, stack)).routes(),
                *_pages(catalog, blobs, looks, pages),
                *(Login(keyring, passes, pages).routes() if passes else ()),
            ],
            remembered=Remembered(inbox, now=clock.now),
            readiness=readiness,
            guard=guard(host, keyring, passes),
            metrics=_metrics(config, catalog),
            around=[error_pages(pages)],
            read_seconds=config.listen.read_seconds,
        )
        async with listening(
            app,
            bound,
            keepalive_seconds=config.listen.keepalive_seconds,
            max_connections=config.listen.max_connections,
            drain_seconds=DRAIN_SECONDS,
            max_line_bytes=MAX_LINE_BYTES,
        ):
            ready()
            await stop.wait()
            readiness.drain()


def _pages(
    catalog: CatalogReader, blobs: BlobStore, looks: Looks, pages: Pages
) -> list[web.RouteDef]:
    """The gallery."""
    origin = BucketOrigin(blobs)
    viewing = Viewing(catalog, pages, origin, looks, as_request=as_request, now=clock.now)
    gallery = Gallery(catalog, pages, origin, now=clock.now)
    return [*gallery.routes(), *viewing.routes(), *pages.routes()]


def _keyring(config: Config) -> Keyring:
    return Keyring(
        config.tokens,
        FailureLimit(config.listen.failures_per_minute),
        config.listen.proxies,
        monotonic=clock.monotonic,
    )


def _passes(config: Config) -> Passes | None:
    """Where there are tokens, browsers may have something in their place."""
    if not config.tokens:
        return None
    key = open_accounts(config.catalog.folder).derived_key("passes of browsers")
    return Passes(key, config.tokens, now=clock.now)


async def _desk(
    config: Config, reader: CatalogReader, blobs: BlobStore, stack: AsyncExitStack
) -> CatalogDesk:
    """The catalog is opened when the first renderer comes; `archive` may have yet to make it."""
    catalog = Catalog(config.catalog.where)
    await catalog.start(opened=False)
    stack.push_async_callback(catalog.close)
    spool = config.catalog.folder / "spool"
    return CatalogDesk(
        catalog=catalog,
        reader=reader,
        store=Store(blobs, Budget(config.archive.memory_bytes), spool),
        now=clock.now,
        random=SystemRandom().random,
    )


def _metrics(config: Config, catalog: CatalogReader) -> Callable[[], bytes]:
    place = config.catalog
    measured = (
        CatalogGauges(
            catalog,
            backup_every=backup_every(config),
            now=clock.now,
            monotonic=clock.monotonic,
        ),
        BacklogGauges(catalog, inboxes_of(place)),
        DiskGauges(
            None if place.is_on_server else place.path,
            place.inbox_folder,
            min_free_bytes=place.min_free_bytes,
        ),
        BuildInfo(version("holdfast")),
    )

    def metrics() -> bytes:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        for collector in measured:
            registry.register(collector)
        return generate_latest(registry)

    return metrics


if __name__ == "__main__":
    main("web", run)
