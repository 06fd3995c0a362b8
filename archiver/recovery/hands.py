"""Who does the work that is pure: a thread at first, and processes once there is much of it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# To start processes takes longer than so many portions take a thread.
_ALONE = 3


class Hands:
    """Does one thing after another, as many at once as there are processors."""

    def __init__(self) -> None:
        self.count = os.cpu_count() or 1
        self._begun = 0
        self._processes: ProcessPoolExecutor | None = None

    def begin(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Task[T]:
        """Does what a function of a module does with values that can be pickled."""
        self._begun += 1
        if self._begun <= _ALONE or self.count == 1:
            return asyncio.create_task(asyncio.to_thread(work, *args, **kwargs))
        return asyncio.create_task(self._elsewhere(work, *args, **kwargs))

    def close(self) -> None:
        """Ends the processes, if there are any; what they are at is lost."""
        if self._processes is not None:
            self._processes.shutdown(wait=True, cancel_futures=True)

    async def _elsewhere(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._processes is None:
            # Never forked: a connection or a thread of ours would be there twice.
            self._processes = ProcessPoolExecutor(
                self.count, mp_context=get_context("spawn"), initializer=_begin
            )
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._processes, partial(work, *args, **kwargs))


def _begin() -> None:
    """Ctrl-C is for the parent, which ends its processes itself.

    Rows refer to nothing that refers to them, so nobody need look for circles among millions.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()


async def to_its_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Blocking work on a thread; who is cancelled waits for its end, and nobody closes its file."""
    task = asyncio.create_task(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(Exception):
            await task
        raise
