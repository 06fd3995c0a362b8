"""How many jobs are claimed and completed a second, durably, through the catalog's own writer.

    python -m benchmarks.queue [--rounds 5] [--jobs 20000] [--postgres]

`at once` is how many jobs one claim leases; each is then completed by a transaction of its own, as
the worker does, and the writer's thread takes as many of them into a commit as have gathered.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from archiver import clock
from archiver.catalog import Catalog
from archiver.catalog.migrating import migrate
from archiver.work import Job, JobKind, JobState, WantedJob
from benchmarks.harness import median, print_table
from tests.archiver.postgres_server import running

AT_ONCE = (1, 16, 64, 256)


async def work_off(where: Path | str, jobs: int, at_once: int) -> float:
    """Jobs a second, from the first claim to the last commit."""
    migrate(where)
    catalog = Catalog(where)
    await catalog.start()
    wanted = [
        WantedJob(kind=JobKind.FETCH, subject=number, target="aa", host="cdn.doitong.com")
        for number in range(jobs)
    ]
    await catalog.write(lambda tables: tables.jobs.want(wanted, now=clock.now()))
    done, begun_at = 0, time.perf_counter()
    while claimed := await catalog.write(
        lambda tables: tables.jobs.claim(
            JobKind.FETCH, limit=at_once, worker="bench", lease_seconds=30, now=clock.now()
        )
    ):
        await asyncio.gather(*(_complete(catalog, job) for job in claimed))
        done += len(claimed)
    seconds = time.perf_counter() - begun_at
    await catalog.close()
    assert done == jobs
    return jobs / seconds


async def _complete(catalog: Catalog, job: Job) -> None:
    await catalog.write(lambda tables: tables.jobs.finish(job, JobState.COMPLETED, now=clock.now()))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=20000)
    parser.add_argument("--postgres", action="store_true", help="beside it on a PostgreSQL")
    given = parser.parse_args()
    with ExitStack() as stack:
        databases = {"SQLite": lambda: stack.enter_context(TemporaryDirectory()) + "/catalog.db"}
        if given.postgres:
            databases["PostgreSQL"] = stack.enter_context(running(fsync=True)).new_database
        runs: dict[tuple[str, int], list[float]] = {}
        for _ in range(given.rounds):
            for (name, new), at_once in product(databases.items(), AT_ONCE):
                # One job to a commit is slow by nature, and needs no long run to show it.
                rate = uvloop.run(work_off(new(), min(given.jobs, 200 * at_once), at_once))
                runs.setdefault((name, at_once), []).append(rate)
    rows = [
        (name, str(at_once), f"{median(rates):,.0f}", f"{min(rates):,.0f}–{max(rates):,.0f}")
        for (name, at_once), rates in runs.items()
    ]
    columns = ("on", "at once", "claimed and completed/s", "min–max")
    print_table(f"queue, {given.rounds} rounds", columns, rows)


if __name__ == "__main__":
    main()
