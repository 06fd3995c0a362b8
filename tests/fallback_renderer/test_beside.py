"""The desk of a renderer that stands beside the archive and has its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from archiver.errors import FetchError
from fallback_renderer.beside import desk_beside
from fallback_renderer.settings import Bucket, CatalogTable, Configuration
from tests.archiver.filled import Archive, filling
from tests.archiver.media_bodies import JPEG


async def test_nothing_is_drawn_into_the_place_of_a_disk(tmp_path: Path) -> None:
    """The index knows of a picture in the bucket, so its disk is wanted, and none is made."""
    root = tmp_path / "bucket"
    config = Configuration(
        catalog=CatalogTable(url=f"sqlite:///{tmp_path}/catalog.db"),
        bucket=Bucket(url=root.as_uri()),
    )
    async with filling(tmp_path) as archive:
        await archive.hear("g", "a fox")
        async with desk_beside(config) as desk:
            await Archive(archive.catalog, desk.store).save("g", JPEG)
        root.rename(tmp_path / "away")
        await archive.hear("h", "a wolf")
        async with desk_beside(config) as desk:
            with pytest.raises(FetchError, match="mount its disk"):
                await Archive(archive.catalog, desk.store).save("h", JPEG[:-2] + b"h" + JPEG[-2:])
    assert not root.exists()
