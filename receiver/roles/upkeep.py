"""What the archive does beside its work: segments, what was forgotten, bodies that grow old."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from archiver import clock
from archiver.blobs import BlobStore
from archiver.catalog import Catalog, CatalogReader
from archiver.errors import (
    BucketError,
    CatalogUnavailableError,
    InboxUnavailableError,
    ManifestError,
)
from archiver.keys import MANIFESTS
from archiver.log import Outage, logger
from archiver.recovery.forget import Forget
from archiver.recovery.segmenting import Segmenting
from archiver.retention import Retention
from receiver.inboxes import Inboxes
from receiver.settings import Config
from receiver.signing import signer_of, trust_of

# What was forgotten vanishes soon; all else is looked after once a day.
SOON_SECONDS = 60.0
DAY_SECONDS = 24 * 3600.0

_TROUBLES = (BucketError, CatalogUnavailableError, InboxUnavailableError)


async def keep_up(
    config: Config,
    blobs: BlobStore,
    catalog: Catalog,
    reader: CatalogReader,
    inboxes: Inboxes,
) -> None:
    """Looks after the archive for ever; what fails now is done at the next look."""
    forget = forget_of(config, blobs, catalog, reader)
    retention = Retention(catalog=catalog, reader=reader)
    due_at = clock.monotonic()
    outage = Outage("the archive is not looked after", "the archive is looked after again")
    while True:
        try:
            if clock.monotonic() >= due_at:
                await _daily(config, forget, retention, inboxes)
                due_at = clock.monotonic() + DAY_SECONDS
            await forget.finish()
            await retention.settle(inboxes.all(), now=clock.now())
        except _TROUBLES as error:
            outage.met(error)
        else:
            outage.over()
        await asyncio.sleep(SOON_SECONDS)


async def index_is_lost(blobs: BlobStore, reader: CatalogReader) -> bool:
    """Whether the index is empty beside a bucket that holds an archive.

    One that began anew there would give numbers twice, and write over manifests that know more. A
    bucket that does not answer tells nothing, and nothing can be archived in it either.
    """
    if await reader.read(lambda tables: tables.generations.keys(above=0, limit=1)):
        return False
    with suppress(BucketError):
        async for _ in blobs.list(MANIFESTS):
            return True
    return False


def forget_of(config: Config, blobs: BlobStore, catalog: Catalog, reader: CatalogReader) -> Forget:
    """What has things forgotten in this archive; raises ConfigError for a key that is none."""
    signer = signer_of(config)
    segmenting = Segmenting(
        catalog=catalog,
        reader=reader,
        blobs=blobs,
        signer=signer,
        lock=config.catalog.folder / "segments.lock",
    )
    return Forget(
        catalog=catalog,
        reader=reader,
        blobs=blobs,
        segmenting=segmenting,
        signer=signer,
        now=clock.now,
    )


async def _daily(config: Config, forget: Forget, retention: Retention, inboxes: Inboxes) -> None:
    again = await forget.obey(trust_of(config), _complain)
    if again:
        logger().info("what was forgotten came back and is forgotten again", count=again)
    segments = await forget.segmenting.catch_up()
    if segments:
        logger().info("manifests were gathered into segments", segments=segments)
    now = clock.now()
    before = now - timedelta(days=config.inbox.keep_days)
    ordered = await retention.order(inboxes.all(), before=before, now=now)
    if ordered:
        logger().info("old bodies are taken out of the inboxes", ranges=ordered)


def _complain(key: str, error: ManifestError) -> None:
    logger().error("a tombstone is not obeyed", tombstone=key, error=str(error))
