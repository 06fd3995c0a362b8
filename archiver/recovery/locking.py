"""One at a time, across the processes of one machine."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from archiver.errors import ConfigError

_LOOK_SECONDS = 0.05


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Holds the lock of that file, made if missing; whoever holds it is waited for."""
    with path.open("w") as file:
        while True:
            if _taken(file.fileno()):
                break
            await asyncio.sleep(_LOOK_SECONDS)
        yield


@contextmanager
def only_one(path: Path, otherwise: str) -> Iterator[None]:
    """Holds the lock of that file; raises ConfigError with that sentence if somebody has it."""
    with path.open("w") as file:
        if not _taken(file.fileno()):
            raise ConfigError(otherwise)
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
