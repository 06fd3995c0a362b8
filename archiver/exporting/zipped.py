"""A ZIP of pictures and their manifests, written while it is read.

Nothing of it is ever whole in memory: a picture passes in pieces, the index waits in a nameless
file until all pictures are through, and what stays of each file until the end is a line of the
ZIP's own directory, about a third of a kilobyte.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

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

INDEX_NAME = "index.ndjson"

_PIECE_BYTES = 2**17
# A ZIP knows no others.
_FIRST_YEAR, _LAST_YEAR = 1980, 2107
_READABLE_BY_ALL = 0o644 << 16


class _Outlet:
    """A file that cannot be rewound: what is written is taken away at once."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._written)
        self._written.clear()
        return taken


async def zipped(
    found_pages: AsyncIterator[FoundPage],
    blobs: BlobStore,
    *,
    spool_dir: Path,
    at: datetime,
    tally: Tally,
) -> AsyncGenerator[bytes]:
    """The ZIP's bytes; last in it is an index that says of each slot where its picture is, or why
    it is not there. What the index does not name is not to be trusted.

    Raises CatalogUnavailableError, BucketError, and OSError if `spool_dir` cannot be written.
    """
    outlet = _Outlet()
    archive = ZipFile(outlet, "w")  # type: ignore[call-overload]  # it never reads or seeks
    with _nameless_file(spool_dir) as index:
        async for page in found_pages:
            rows: list[Row] = []
            for found in page.found:
                if manifest_name(found) in archive.NameToInfo:
                    continue  # it has come to stand elsewhere in the order meanwhile
                row = found.row | {"file": None, "absent": None}
                async for piece in _picture(archive, outlet, blobs, found, row, tally):
                    yield piece
                rows.append(row)
                tally.slots += 1
            index.write(lines(Format.NDJSON, rows))
        info = _info(INDEX_NAME, at, index.tell(), ZIP_DEFLATED)
        index.seek(0)
        with archive.open(info, "w") as entry:
            while piece := index.read(_PIECE_BYTES):
                entry.write(piece)
                yield outlet.take()
    archive.close()
    yield outlet.take()


async def _picture(
    archive: ZipFile, outlet: _Outlet, blobs: BlobStore, found: Found, row: Row, tally: Tally
) -> AsyncGenerator[bytes]:
    """The part of the ZIP that holds a slot's picture and manifest; what came of it is in `row`."""
    try:
        asset = picture_of(found)
        name = file_name(found, asset)
        async with aclosing(bytes_of(blobs, asset)) as pieces:
            first = await anext(pieces, b"")  # before its entry begins, it is there
            with archive.open(_info(name, asset.archived_at, asset.size_bytes), "w") as entry:
                entry.write(first)
                yield outlet.take()
                async for piece in pieces:
                    entry.write(piece)
                    yield outlet.take()
    except AbsentError as error:
        row["absent"] = str(error)
        tally.lost += error.lost
        return
    told = manifest.render(found.generation)
    archive.writestr(_info(manifest_name(found), asset.archived_at, len(told), ZIP_DEFLATED), told)
    yield outlet.take()
    row["file"] = name
    tally.pictures += 1
    tally.size_bytes += asset.size_bytes


def _nameless_file(folder: Path) -> IO[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    return TemporaryFile(dir=folder)


def _info(name: str, at: datetime, size_bytes: int, compression: int = ZIP_STORED) -> ZipInfo:
    """A file in the ZIP; by its size it is known beforehand whether it needs 64 bits."""
    year = min(max(at.year, _FIRST_YEAR), _LAST_YEAR)
    info = ZipInfo(name, (year, at.month, at.day, at.hour, at.minute, at.second))
    info.compress_type = compression
    info.external_attr = _READABLE_BY_ALL
    info.file_size = size_bytes
    return info
