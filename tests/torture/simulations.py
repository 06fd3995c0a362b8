"""The queue under days of bad workers, for very many seeds on all processors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

from archiver.catalog.schema import migrate
from tests.archiver.stories import OUTAGE, after_an_outage, broken_promises
from tests.torture.trial import Row, Run

# How many stories are told without the fence, and how many outages with either order.
UNFENCED = 200
OUTAGES = 12
_CHUNK = 25


def simulations(run: Run) -> list[Row]:
    """No asset twice and no job stuck with the fence; few links dead where deadlines go first."""
    count = 200_000 if run.long else 2_000
    first = Random(run.seed).randrange(10**9)
    with _processes(run.folder) as pool:
        told = partial(_broken, run.folder)
        broken = dict(pool.map(told, range(first, first + count), chunksize=_CHUNK))
        found = [f"seed {seed}: {'; '.join(said)}" for seed, said in broken.items() if said]
        (run.folder / "broken.txt").write_text("\n".join(found))
        unfenced = range(first, first + UNFENCED)
        without = dict(pool.map(partial(told, fenced=False), unfenced, chunksize=_CHUNK))
        stale = sum("stale" in thing for said in without.values() for thing in said)
        seeds = range(first, first + OUTAGES)
        lost = sum(pool.map(partial(_lost, run.folder, True), seeds))
        lost_in_line = sum(pool.map(partial(_lost, run.folder, False), seeds))
    return [
        Row(
            test="simulation",
            dose=f"{count:,} seeds from {first}",
            must="no asset twice, no job stuck, no long-lived link lost",
            result=f"broken by {len(found)} seeds{': ' + found[0] if found else ''}",
            kept=not found,
            control=f"no fence: {stale} stale workers settled in {UNFENCED} seeds",
            control_broke=stale > 0,
        ),
        Row(
            test="deadline order",
            dose=f"{OUTAGES} outages of {OUTAGE} webhooks",
            must="a tenth of the links lost in order of arrival, or fewer",
            result=f"{lost} lost",
            kept=10 * lost <= lost_in_line,
            control=f"order of arrival: {lost_in_line} lost",
            control_broke=lost_in_line > 0,
        ),
    ]


@contextmanager
def _processes(folder: Path) -> Iterator[ProcessPoolExecutor]:
    """One for each processor, each with a catalog of its own."""
    with ProcessPoolExecutor(initializer=_migrate, initargs=[folder]) as pool:
        yield pool


def _migrate(folder: Path) -> None:
    migrate(_catalog(folder))


def _catalog(folder: Path) -> Path:
    return folder / f"{os.getpid()}.db"


def _broken(folder: Path, seed: int, *, fenced: bool = True) -> tuple[int, list[str]]:
    return seed, broken_promises(_catalog(folder), seed, fenced=fenced)


def _lost(folder: Path, by_deadline: bool, seed: int) -> int:
    return after_an_outage(_catalog(folder), seed, by_deadline=by_deadline)
