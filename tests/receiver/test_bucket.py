"""The bucket of an archive, where what the index knows says whether it was begun."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from archiver.catalog import CatalogReader
from archiver.errors import BucketError
from receiver.config import from_tree
from receiver.roles.bucket import bucket_of
from tests.archiver.filled import filling
from tests.archiver.media_bodies import JPEG


async def test_a_bucket_that_the_index_knows_of_is_not_begun_again(tmp_path: Path) -> None:
    """Without an index, and with an empty one, it is made; with an object, its disk is wanted."""
    config = from_tree(
        {
            "catalog": {"url": f"sqlite:///{tmp_path}/catalog.db"},
            "bucket": {"url": f"file://{tmp_path}/elsewhere"},
        }
    )

    async def put() -> None:
        reader = CatalogReader(tmp_path / "catalog.db")
        blobs = await asyncio.to_thread(bucket_of, config, reader)
        reader.close()
        await blobs.put("blobs/a", b"a", media_type="image/png", metadata={})
        await asyncio.to_thread((tmp_path / "elsewhere").rename, tmp_path / uuid4().hex)

    await put()
    async with filling(tmp_path) as archive:
        await put()
        await archive.hear("g", "a fox")
        await archive.save("g", JPEG)
        with pytest.raises(BucketError, match="mount its disk"):
            await put()
    assert not (tmp_path / "elsewhere").exists()
