"""An archive with a slot of every kind that an export meets."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from archiver.blobs.folder import FolderBlobs
from archiver.catalog import CatalogReader
from archiver.models import GenerationState, Origin, SlotObservation
from tests.archiver.filled import Archive, filling
from tests.archiver.heard import DRAWN
from tests.archiver.media_bodies import JPEG

WHOLE, OTHER, GONE, SPOILT, FLAGGED = (
    JPEG[:-2] + name + b"\xff\xd9" for name in (b"", b"other", b"gone", b"spoilt", b"flagged")
)
PICTURES = {"whole": WHOLE, "other": OTHER, "gone": GONE, "spoilt": SPOILT}
LOST = {"state": GenerationState.FAILED, "slots": (SlotObservation(index=0),)}


@dataclass(frozen=True, slots=True)
class Shelf:
    """The archive, and what it is read by."""

    archive: Archive
    reader: CatalogReader
    blobs: FolderBlobs
    folder: Path


async def fill(folder: Path) -> None:
    """Two pictures, one that the bucket has lost, one that it has spoilt, a flagged one, and a
    slot without any; numbered in that order from 1."""
    async with filling(folder) as archive:
        for name, picture in PICTURES.items():
            await archive.hear(name, f'a "{name}" fox,\nin snow')
            asset = await archive.save(name, picture)
            place = folder / "bucket" / asset.blob_key
            if name == "gone":
                place.unlink()
            if name == "spoilt":
                place.write_bytes(bytes(len(picture)))
        await archive.hear("flagged", "a fox", **LOST)
        flagged = replace(DRAWN, flagged=True)
        await archive.save("flagged", FLAGGED, Origin.FALLBACK, flagged)
        await archive.hear("lost", "=a fox", **LOST)


@asynccontextmanager
async def opened(filled: Path, folder: Path) -> AsyncIterator[Shelf]:
    """A copy of the one that was filled."""
    shutil.copytree(filled, folder, dirs_exist_ok=True)
    async with filling(folder) as archive:
        reader = CatalogReader(folder / "catalog.db")
        yield Shelf(archive, reader, FolderBlobs(folder / "bucket"), folder)
        reader.close()
