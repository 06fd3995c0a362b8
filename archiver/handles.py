"""Files that a thread opens, and that nobody leaves open who is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, TypeVar

F = TypeVar("F", bound=IO[Any])


def close(file: IO[Any]) -> None:
    """What becomes of most files that nobody waits for any more."""
    file.close()


async def opened(opening: Callable[[], F], *, undo: Callable[[F], None] = close) -> F:
    """The file that `opening` opens; whoever is cancelled, however often, waits for it, to `undo`
    that.

    Raises what `opening` does.
    """
    task = asyncio.create_task(asyncio.to_thread(opening))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        with suppress(OSError):
            undo(task.result())
        raise
