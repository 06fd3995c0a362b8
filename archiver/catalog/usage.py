"""Who uses a catalog's file, so that nobody puts another in its place meanwhile.

Whoever writes it shares a lock; whoever switches the file has the lock alone. The kernel lets go of
it with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archiver.errors import CatalogUnavailableError


class InUseError(CatalogUnavailableError):
    """Somebody uses the catalog, so that its file must stay what it is."""


def use(catalog: Path) -> int:
    """Shares the catalog until the descriptor is closed; raises CatalogUnavailableError."""
    held = _open(catalog)
    if not _locked(held, fcntl.LOCK_SH):
        raise CatalogUnavailableError(
            f"the catalog {catalog} is being put in its place just now: try again in a moment"
        )
    return held


@contextmanager
def alone(catalog: Path) -> Iterator[None]:
    """Keeps everybody else from the catalog; raises InUseError if somebody uses it."""
    held = _open(catalog)
    if not _locked(held, fcntl.LOCK_EX):
        raise InUseError(f"the catalog {catalog} is in use")
    try:
        yield
    finally:
        os.close(held)


def _open(catalog: Path) -> int:
    file = catalog.with_suffix(".users")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise CatalogUnavailableError(
            f"{file} cannot be written ({error.strerror}): let the user that runs holdfast write "
            "in that folder"
        ) from error


def _locked(held: int, how: int) -> bool:
    try:
        fcntl.flock(held, how | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return False
    return True
