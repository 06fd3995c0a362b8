"""The bucket of an archive, opened by whoever may put something into it."""

from __future__ import annotations

from contextlib import suppress

from archiver.blobs import BlobStore
from archiver.blobs.opening import open_blob_store
from archiver.catalog import CatalogReader
from archiver.errors import CatalogUnavailableError
from receiver.settings import Config


def bucket_of(config: Config, reader: CatalogReader) -> BlobStore:
    """The bucket, begun once the index knows of an object in it; raises ConfigError. Blocks.

    An index that is not there yet knows of none.
    """
    newest, bucket = None, config.bucket
    with suppress(CatalogUnavailableError), reader.view() as tables:
        newest = tables.overview.newest_blob_key()
    return open_blob_store(
        bucket.url, endpoint=bucket.endpoint, region=bucket.region, begun=newest is not None
    )
