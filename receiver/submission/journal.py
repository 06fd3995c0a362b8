"""The journal beside a batch: one JSON object a line, each on disk before what follows from it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import msgspec

from archiver.durable import sync
from archiver.errors import HoldfastError
from receiver.submission.entries import UNTOUCHED, Entry, Standing, after, standings

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode

_BEGINNING = b'{"journal":"'


class JournalError(HoldfastError):
    """The journal cannot be used; without one a row might be sent twice, so nothing is sent."""


class _Header(msgspec.Struct, frozen=True):
    journal: str


class Journal:
    """One journal, held by this process alone; `standings` are how its rows stand by now."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        file.seek(0)
        content = file.read()
        # What a crash left of a line: nothing can have followed from it, for whoever wrote it never
        # came back from writing.
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.splitlines()
        try:
            self.id = msgspec.json.decode(lines[0], type=_Header).journal if lines else ""
            self.standings = standings(map(_decode, lines[1:]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise JournalError(f"{path} is not a journal of holdfast's: {error}") from error
        if not lines and not content.startswith(_BEGINNING[: len(content)]):
            raise JournalError(f"{path} is not a journal of holdfast's")
        file.truncate(len(whole))
        if not lines:
            self.id = str(uuid4())
            self._write(_encode(_Header(self.id)))
            sync(path.parent)

    def standing(self, row: int) -> Standing:
        """How that row stands."""
        return self.standings.get(row, UNTOUCHED)

    def append(self, entry: Entry) -> None:
        """Returns once the entry is on disk; raises JournalError if it is not."""
        self._write(_encode(entry))
        self.standings[entry.row] = after(self.standing(entry.row), entry)

    def _write(self, line: bytes) -> None:
        try:
            self._file.write(line + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise JournalError(f"{self._file.name} cannot be written: {error.strerror}") from error


@contextmanager
def opened(path: Path) -> Iterator[Journal]:
    """The journal of that path, made if missing; raises JournalError, if another has it, too."""
    try:
        file = path.open("a+b")
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be opened: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise JournalError(f"another command is at work on {path}: let it end") from error
        yield Journal(file, path)
