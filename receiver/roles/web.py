"""The role `web`: the private listener. Its searches and readers slow nobody but itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from archiver import clock
from archiver.blobs.opening import open_blob_store
from archiver.catalog import CatalogReader
from archiver.gauges import CatalogGauges, DiskGauges
from archiver.inbox.sqlite import SqliteInbox
from archiver.sqlite import require_safe_version
from archiver.web.api import ArchiveApi
from receiver.access import guard
from receiver.listener import listening
from receiver.private import Remembered, private_app
from receiver.readiness import Readiness
from receiver.roles.process import DRAIN_SECONDS, Orders, main


async def run(orders: Orders, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serves the archive until told to stop."""
    config = orders.config
    require_safe_version(allow_unsafe=config.catalog.allow_unsafe_sqlite)
    folder, min_free_bytes = config.catalog.inbox_folder, config.catalog.min_free_bytes
    inbox = SqliteInbox(folder / "web.db", min_free_bytes=min_free_bytes)
    await inbox.start()
    catalog = CatalogReader(config.catalog.path)
    bucket = config.bucket
    blobs = open_blob_store(bucket.url, endpoint=bucket.endpoint, region=bucket.region)

    async def prove() -> None:
        await inbox.prove(clock.now())
        await catalog.read(lambda tables: tables.deliveries.last_beat_at("archive"))

    readiness = Readiness(prove, monotonic=clock.monotonic)
    gauges = CatalogGauges(catalog, now=clock.now)

    def metrics() -> bytes:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        registry.register(gauges)
        registry.register(DiskGauges(config.catalog.path, folder))
        return generate_latest(registry)

    bound = orders.socket("private")
    # Where it stands, not where the configuration would have put it: it may be handed over.
    host = bound.getsockname()[0]
    app = private_app(
        api=ArchiveApi(catalog, blobs),
        remembered=Remembered(inbox, now=clock.now),
        readiness=readiness,
        guard=guard(host, config.tokens),
        metrics=metrics,
    )
    try:
        async with listening(
            app,
            bound,
            keepalive_seconds=config.listen.keepalive_seconds,
            max_connections=config.listen.max_connections,
            drain_seconds=DRAIN_SECONDS,
        ):
            ready()
            await stop.wait()
            readiness.drain()
    finally:
        await inbox.close()
        await blobs.close()
        catalog.close()


if __name__ == "__main__":
    main("web", run)
