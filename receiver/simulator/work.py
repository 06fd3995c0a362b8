"""What the simulator still has to do, so that somebody can wait for it or end it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


class Work:
    """Every drawing and every delivery under way, of all providers."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, coroutine: Coroutine[None, None, None]) -> None:
        """Start on something and remember it until it is done."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Return once nothing is under way."""
        while unfinished := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(unfinished)

    async def close(self) -> None:
        """Drop what is unfinished."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
