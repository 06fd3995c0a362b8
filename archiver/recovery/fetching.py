"""One database out of a backup: fetched, unpacked, and held to everything that its index says."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from archiver import sqlite
from archiver.blobs import BlobStore
from archiver.errors import BackupError
from archiver.recovery.backup_index import BackedUp

_GZIP = 31
_PIECE_BYTES = 1 << 20


async def fetch(
    blobs: BlobStore, file: BackedUp, into: Path, progress: Callable[[int], None]
) -> None:
    """Writes the file of a backup; `progress` is told of the bytes that came.

    Raises BackupError unless it is, to the last byte, the database that was backed up, and
    BucketError.
    """
    unpacking, stored = _Unpacking(file.size_bytes), sha256()
    try:
        with into.open("xb") as target:
            async with blobs.read(file.key) as pieces:
                async for piece in pieces:
                    stored.update(piece)
                    progress(len(piece))
                    await asyncio.to_thread(unpacking.write, piece, target)
            await asyncio.to_thread(unpacking.end, target)
    except zlib.error as error:
        raise _damaged(file, str(error)) from error
    if stored.hexdigest() != file.stored_sha256:
        raise _damaged(file, "it is not the object that was put there")
    if (unpacking.size_bytes, unpacking.sha256.hexdigest()) != (file.size_bytes, file.sha256):
        raise _damaged(file, "it does not hold the file that was packed")
    if said := await asyncio.to_thread(sqlite.damage, into):
        raise _damaged(file, said)


class _Unpacking:
    """What was gzipped, as it comes out, piece by piece and never more than there should be."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._gzip = zlib.decompressobj(wbits=_GZIP)
        self.size_bytes = 0
        self.sha256 = sha256()

    def write(self, piece: bytes, target: BinaryIO) -> None:
        """Writes what a piece holds; raises zlib.error."""
        while piece:
            self._put(self._gzip.decompress(piece, _PIECE_BYTES), target)
            piece = self._gzip.unconsumed_tail

    def end(self, target: BinaryIO) -> None:
        """Writes what is still held back once all pieces have come."""
        self._put(self._gzip.flush(), target)

    def _put(self, plain: bytes, target: BinaryIO) -> None:
        self.size_bytes += len(plain)
        if self.size_bytes > self._most_bytes:
            raise zlib.error("it holds more than was packed")
        self.sha256.update(plain)
        target.write(plain)


def _damaged(file: BackedUp, said: str) -> BackupError:
    return BackupError(
        f"{file.key} is damaged ({said}): nothing was changed; choose an older backup with --from, "
        "holdfast backup --list shows them"
    )
