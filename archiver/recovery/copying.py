"""Copies of databases that are in use: whole, one at a time, in a folder of their own."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archiver import sqlite
from archiver.errors import BackupError


@contextmanager
def copies(spool: Path) -> Iterator[Path]:
    """A folder for the copies of one backup, empty before and after; raises BackupError.

    What a crash has left in it goes now, and whoever comes second while one is under way is told.
    """
    folder = spool / "backup"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (spool / "backup.lock").open("w") as lock:
            _take(lock.fileno())
            shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
            try:
                yield folder
            finally:
                shutil.rmtree(folder)
    except OSError as error:
        raise BackupError(
            f"{error.filename or folder}: {error.strerror}; see that holdfast may write there and "
            "that the disk is well"
        ) from error


def whole_copy(path: Path, folder: Path, *, min_free_bytes: int) -> Path:
    """A copy of a database as of now, looked through; raises BackupError."""
    size_bytes = path.stat().st_size + sqlite.log_bytes(path)
    free_bytes = shutil.disk_usage(folder).free
    # The copy, and at the worst as much again once it is compressed.
    if free_bytes - 2 * size_bytes < min_free_bytes:
        raise BackupError(
            f"the disk of {folder} has {free_bytes:,} bytes left, too few to copy {path}, which "
            f"has {size_bytes:,}: free some space"
        )
    copied = folder / path.name
    try:
        sqlite.copy(path, copied)
    except sqlite.Error as error:
        raise damaged(path, str(error)) from error
    if said := sqlite.damage(copied):
        raise damaged(path, said)
    return copied


def damaged(path: Path, said: str) -> BackupError:
    """The error for a database that cannot be copied whole."""
    return BackupError(
        f"{path} cannot be copied whole ({said}), so there is no new backup; the older ones stay. "
        "holdfast doctor looks closer, holdfast restore brings the last good one back"
    )


def _take(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BackupError("another backup of this archive is under way; wait for it") from None
