"""Carrying a rescue's steps out: only by orders, so that a running service does the work.

The jobs of a step are ordered earliest death first and in portions, and the queue gives them out
in that order; each order looks again whether it still makes sense.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial

from archiver.catalog import Catalog, Tables
from archiver.catalog.unsafe import Pending
from archiver.ledger import keep
from archiver.orders import retry, was_needless
from archiver.recovery.rescue_plan import Step
from archiver.recovery.rescue_rules import Kind

# Each changes some ten rows, and a service waits for its turn meanwhile.
_PORTION = 50


async def carry_out(
    catalog: Catalog,
    steps: Iterable[Step],
    *,
    now: Callable[[], datetime],
    stop: asyncio.Event,
    progress: Callable[[int], None] = lambda _: None,
) -> Counter[str]:
    """Orders what the steps say, and tells why some of it could not be, with how often.

    `progress` is told how many more are ordered. After `stop` nothing more is.
    """
    not_done: Counter[str] = Counter()
    for step in steps:
        if step.kind is Kind.LEASE:
            await catalog.write(lambda tables: tables.jobs.recover(now=tables.time(now)))
        for begin in range(0, len(step.jobs), _PORTION):
            if stop.is_set():
                return not_done
            some = step.jobs[begin : begin + _PORTION]
            not_done.update(filter(None, await catalog.write(partial(_retry, some, now()))))
            progress(len(some))
        for begin in range(0, len(step.generations), _PORTION):
            if stop.is_set():
                return not_done
            keys = step.generations[begin : begin + _PORTION]
            await catalog.write(partial(_plan_anew, keys, now()))
            progress(len(keys))
    return not_done


class Watch:
    """Which jobs were tried since somebody began to watch: the end of a rescue is that all were.

    What fails waits for its next try, maybe for hours, and nobody has to wait with it; but a link
    that is found by a question is a new thing to try.
    """

    def __init__(self) -> None:
        self._fences: dict[tuple[int, str], int] = {}  # beyond which a job was tried
        self._is_watching = False

    def untried(self, jobs: Iterable[Pending]) -> int:
        """How many of those that have not come to rest were not tried yet."""
        count = sum(map(self._is_untried, jobs))
        self._is_watching = True
        return count

    def _is_untried(self, job: Pending) -> bool:
        name = job.number, job.target
        if name not in self._fences:
            # What is under way is being tried, and what came meanwhile may have been already.
            tried = job.is_running or (self._is_watching and job.attempts > 0)
            self._fences[name] = job.fence - tried
        return job.is_running or job.fence == self._fences[name]


def _retry(numbers: Sequence[int], now: datetime, tables: Tables) -> list[str]:
    """Why some could not be; what the service beside us was quicker with is as wished."""
    answers = (retry(tables, number, now=now) for number in numbers)
    return [why_not for why_not in answers if not was_needless(why_not)]


def _plan_anew(keys: Sequence[int], now: datetime, tables: Tables) -> None:
    for key in keys:
        generation = tables.generations.load_key(key)
        if generation is not None:
            keep(tables, generation, generation, now=now)
