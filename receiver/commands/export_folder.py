"""An export into a folder: `pictures/`, `manifests/`, and an index of all that was found.

Typed again it goes on: what lies there with the right digest is not fetched a second time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from hashlib import file_digest
from pathlib import Path

from archiver import manifest
from archiver.blobs import BlobStore
from archiver.export import Format, Row, lines
from archiver.exporting.pages import Found, FoundPage
from archiver.exporting.pictures import (
    AbsentError,
    Tally,
    bytes_of,
    file_name,
    manifest_name,
    picture_of,
)
from archiver.exporting.zipped import INDEX_NAME
from archiver.models import Asset
from receiver.commands.export_file import ExportError

_AT_ONCE = 8


async def write_folder(
    found_pages: AsyncIterator[FoundPage],
    blobs: BlobStore,
    folder: Path,
    tally: Tally,
) -> None:
    """Writes what is still missing in `folder`; raises ExportError, and OSError."""
    _prepare(folder)
    part = folder / f"{INDEX_NAME}.part"
    turns = asyncio.Semaphore(_AT_ONCE)

    async def exported(found: Found) -> Row:
        async with turns:
            return await _exported(found, blobs, folder, tally)

    with part.open("wb") as index:
        async for page in found_pages:
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(exported(found)) for found in page.found]
            except ExceptionGroup as trouble:
                raise trouble.exceptions[0] from None  # the others are of the same kind
            index.write(lines(Format.NDJSON, [task.result() for task in tasks]))
    part.replace(folder / INDEX_NAME)


async def _exported(found: Found, blobs: BlobStore, folder: Path, tally: Tally) -> Row:
    """What the index says of a slot, once its files are there."""
    tally.slots += 1
    try:
        asset = picture_of(found)
        path = folder / file_name(found, asset)
        if await asyncio.to_thread(_is_there, path, asset):
            tally.there += 1
        else:
            await _fetch(blobs, asset, path)
            tally.pictures += 1
            tally.size_bytes += asset.size_bytes
    except AbsentError as error:
        tally.lost += error.lost
        if not error.lost:  # an earlier export may have brought what is withheld now
            await asyncio.to_thread(_take_away, folder, found)
        return found.row | {"file": None, "absent": str(error)}
    _replace(folder / manifest_name(found), manifest.render(found.generation))
    return found.row | {"file": file_name(found, asset), "absent": None}


def _take_away(folder: Path, found: Found) -> None:
    asset = found.slot.leading_asset
    if asset is not None:
        (folder / file_name(found, asset)).unlink(missing_ok=True)
    (folder / manifest_name(found)).unlink(missing_ok=True)


def _prepare(folder: Path) -> None:
    """Makes it, unless it is somebody's who would lose his own pictures."""
    index = (folder / f"{INDEX_NAME}{ending}" for ending in ("", ".part"))
    if folder.exists() and any(folder.iterdir()) and not any(path.exists() for path in index):
        raise ExportError(f"{folder} has other things in it: name a new folder, or an empty one")
    for name in ("pictures", "manifests"):
        (folder / name).mkdir(parents=True, exist_ok=True)


def _is_there(path: Path, asset: Asset) -> bool:
    """Whether these very bytes lie there."""
    if not path.is_file() or path.stat().st_size != asset.size_bytes:
        return False
    with path.open("rb") as file:
        return file_digest(file, "sha256").digest() == asset.sha256


async def _fetch(blobs: BlobStore, asset: Asset, path: Path) -> None:
    """Brings the picture there, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            async with aclosing(bytes_of(blobs, asset)) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
