"""The index beside the bucket: whether it is lost, so that nobody takes it for one that begins."""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from archiver.blobs import BlobStore
from archiver.blobs.opening import open_blob_store
from archiver.catalog import CatalogReader
from archiver.errors import BucketError, ConfigError
from archiver.keys import MANIFESTS
from receiver.doctor.finding import Judged, fail
from receiver.doctor.patient import Patient
from receiver.roles.upkeep import index_is_lost

RESTORE = "stop the service, then holdfast restore; without a backup holdfast rebuild"
RESTORE_SERVER = "stop the service, and bring the server's own backup of the database back"


def judge_lost(patient: Patient) -> Judged:
    """An index that is gone, or began anew, beside a bucket that knows more."""
    catalog = patient.config.catalog
    amiss = "and the bucket holds an archive, so nothing is fetched"
    if catalog.is_on_server:
        return fail(f"the index on the server is empty, {amiss}", RESTORE_SERVER)
    path = catalog.path
    what = f"the index is empty ({path})" if patient.has_archive else f"there is no index at {path}"
    return fail(f"{what}, {amiss}", RESTORE)


def is_lost(patient: Patient) -> bool:
    """Whether the bucket holds an archive that no index knows; raises CatalogUnavailableError.

    A bucket that does not answer tells nothing.
    """
    bucket = patient.config.bucket
    parts = urlsplit(bucket.url)
    if parts.scheme == "file" and not Path(unquote(parts.path)).is_dir():
        return False
    try:
        blobs = open_blob_store(bucket.url, endpoint=bucket.endpoint, region=bucket.region)
    except ConfigError:  # which is the bucket's own check to tell
        return False
    return asyncio.run(_asked(blobs, patient))


async def _asked(blobs: BlobStore, patient: Patient) -> bool:
    try:
        if not patient.has_archive:
            return await _holds_an_archive(blobs)
        with closing(CatalogReader(patient.config.catalog.where)) as reader:
            return await index_is_lost(blobs, reader)
    finally:
        await blobs.close()


async def _holds_an_archive(blobs: BlobStore) -> bool:
    with suppress(BucketError):
        async for _ in blobs.list(MANIFESTS):
            return True
    return False
