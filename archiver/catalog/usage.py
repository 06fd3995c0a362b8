"""Who uses a catalog's file, so that nobody puts another in its place meanwhile.

Whoever writes it shares a lock; whoever switches the file has the lock alone. The kernel lets go of
it with the process, however that ends.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from archiver.errors import CatalogUnavailableError


class InUseError(CatalogUnavailableError):
    """Somebody uses the catalog, so that its file must stay what it is."""


def use(catalog: Path) -> TextIO:
    """Shares the catalog for as long as the file is held; raises CatalogUnavailableError."""
    held = _open(catalog)
    if not _locked(held, fcntl.LOCK_SH):
        raise CatalogUnavailableError(
            f"the catalog {catalog} is being put in its place just now: try again in a moment"
        )
    return held


@contextmanager
def alone(catalog: Path) -> Iterator[None]:
    """Keeps everybody else from the catalog; raises InUseError if somebody uses it."""
    with _open(catalog) as held:
        if not _locked(held, fcntl.LOCK_EX):
            raise InUseError(f"the catalog {catalog} is in use")
        yield


def _open(catalog: Path) -> TextIO:
    file = catalog.with_suffix(".users")
    try:
        return file.open("w")
    except OSError as error:
        raise CatalogUnavailableError(
            f"{file} cannot be written ({error.strerror}): let the user that runs holdfast write "
            "in that folder"
        ) from error


def _locked(held: TextIO, how: int) -> bool:
    try:
        fcntl.flock(held, how | fcntl.LOCK_NB)
    except OSError:
        held.close()
        return False
    return True
