"""The archive's own desk, for a renderer that stands beside the archive and writes its catalog."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import SystemRandom

from archiver import clock
from archiver.blobs.opening import open_blob_store
from archiver.body import DEFAULT_MEMORY_BYTES, Budget
from archiver.catalog import Catalog, CatalogReader
from archiver.desk.catalog import CatalogDesk
from archiver.errors import CatalogUnavailableError
from archiver.sqlite import require_safe_version
from archiver.store import Store
from fallback_renderer.settings import Configuration


@asynccontextmanager
async def desk_beside(config: Configuration) -> AsyncIterator[CatalogDesk]:
    """Open while inside; the catalog may have yet to be made by the role `archive`."""
    require_safe_version(allow_unsafe=config.catalog.allow_unsafe_sqlite)
    bucket, where = config.bucket, config.catalog.where
    async with AsyncExitStack() as stack:
        catalog, reader = Catalog(where), CatalogReader(where)
        newest = None
        with suppress(CatalogUnavailableError), reader.view() as tables:
            newest = tables.overview.newest_blob_key()
        blobs = open_blob_store(
            bucket.url, endpoint=bucket.endpoint, region=bucket.region, begun=newest is not None
        )
        stack.push_async_callback(blobs.close)
        await catalog.start(opened=False)
        stack.push_async_callback(catalog.close)
        stack.callback(reader.close)
        yield CatalogDesk(
            catalog=catalog,
            reader=reader,
            store=Store(blobs, Budget(DEFAULT_MEMORY_BYTES), config.catalog.folder / "spool"),
            now=clock.now,
            random=SystemRandom().random,
        )
