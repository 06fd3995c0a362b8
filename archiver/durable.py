"""What outlives a power cut: a file's bytes once it is synced, its name once its folder is."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Returns once a file's bytes, or the names in a folder, are on the disk; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Makes a folder and its parents, if missing, so that they outlive a power cut.

    SQLite sees to the names of its own files, and to no folder's: what is committed into a new
    folder would be gone with it. `mode` is the folder's own. Raises OSError.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode, exist_ok=True)
    sync(folder.parent)
