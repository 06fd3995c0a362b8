"""An export into one file: lines that go on where they were broken off, or a ZIP.

The file is whole or not there: until its end it is called `….part`. Beside lines stands how far
they have come, `….part.json`, written only once what it speaks of is on disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from archiver.errors import HoldfastError
from archiver.export import Format, beginning
from archiver.exporting.pages import FoundPage, lines_of
from archiver.exporting.pictures import Tally


class ExportError(HoldfastError):
    """Nothing can be exported to that place as it is; the sentence says what to do."""


class Bookmark(msgspec.Struct, frozen=True, kw_only=True):
    """How far lines have come: the query and the moment that its ages are counted from, where it
    goes on (None: at the beginning), and what of the file is sure."""

    query: str
    format: Format
    begun_at: datetime
    cursor: str | None = None
    slots: int = 0
    size_bytes: int = 0


_decode = msgspec.json.Decoder(Bookmark).decode
_encode = msgspec.json.Encoder().encode


def bookmark_of(target: Path) -> Bookmark | None:
    """How far an export to `target` has come that was broken off; raises ExportError."""
    path = _bookmark(target)
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExportError(f"{path} is damaged ({error}): remove it to begin anew") from error


async def write_lines(
    found_pages: AsyncIterator[FoundPage],
    target: Path,
    so_far: Bookmark,
    tally: Tally,
) -> None:
    """Writes what is still missing of `target`; raises ExportError, and OSError."""
    part, bookmark = _part(target), _bookmark(target)
    with _held(part) as file:
        if file.tell() < so_far.size_bytes:
            raise ExportError(f"{part} is shorter than {bookmark} says: remove it to begin anew")
        file.truncate(so_far.size_bytes)
        tally.slots = so_far.slots
        async for page in found_pages:
            head = b"" if so_far.size_bytes else beginning(so_far.format)
            file.write(head + await asyncio.to_thread(lines_of, so_far.format, page))
            _sync(file)
            tally.slots += len(page.found)
            so_far = msgspec.structs.replace(
                so_far, cursor=page.cursor, slots=tally.slots, size_bytes=file.tell()
            )
            if page.cursor is not None:
                _replace(bookmark, _encode(so_far))
        bookmark.unlink(missing_ok=True)
        part.replace(target)


async def write_whole(pieces: AsyncGenerator[bytes], target: Path) -> None:
    """Writes `target` from its first byte to its last; raises ExportError, and OSError."""
    with _held(_part(target)) as file:
        file.truncate(0)
        async with aclosing(pieces):
            async for piece in pieces:
                file.write(piece)
        _sync(file)
        _part(target).replace(target)


async def write_stdout(found_pages: AsyncIterator[FoundPage], form: Format, tally: Tally) -> None:
    """Writes lines to the standard output; raises OSError."""
    sys.stdout.buffer.write(beginning(form))
    async for page in found_pages:
        sys.stdout.buffer.write(await asyncio.to_thread(lines_of, form, page))
        tally.slots += len(page.found)
    sys.stdout.buffer.flush()


@contextmanager
def _held(path: Path) -> Iterator[BinaryIO]:
    """The file for writing at its end, made if missing, and nobody else's meanwhile."""
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ExportError(f"another command is at work on {path}: let it end") from error
        yield file


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _bookmark(target: Path) -> Path:
    return target.with_name(f"{target.name}.part.json")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    new.replace(path)
