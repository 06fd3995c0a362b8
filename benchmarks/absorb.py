"""How many webhooks are absorbed a second, from a real inbox into a real catalog.

    python -m benchmarks.absorb [--rounds 5] [--deliveries 8000] [--postgres]

Each is of another generation: parsed, merged, planned, indexed for the search, and committed with
the position reached.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from archiver import clock
from archiver.catalog import Catalog
from archiver.catalog.migrating import migrate
from archiver.inbox.stores import inbox_store
from benchmarks.harness import median, print_table
from benchmarks.heard import fill
from receiver.absorb import Absorb
from receiver.inboxes import Inboxes
from tests.archiver.postgres_server import running

LINK = "https://cdn.doitong.com/outputs/{}.jpg?Expires=4102444800&Signature=0123456789abcdef"


async def absorb(where: Path | str, folder: Path, deliveries: int) -> tuple[float, float]:
    """Deliveries a second, and microseconds of this process's processor for each."""
    migrate(where)
    store = inbox_store(where, folder=folder / "inbox", node="here")
    await fill(store.writer("receive"), [LINK.format(n) for n in range(deliveries)])
    catalog, inboxes = Catalog(where), Inboxes(store)
    await catalog.start()
    role = Absorb(catalog, inboxes, now=clock.now, work_planned=lambda: None)
    done, begun_at, cpu_seconds = 0, time.perf_counter(), time.process_time()
    while absorbed := await role.step():
        done += absorbed
    seconds, cpu_seconds = time.perf_counter() - begun_at, time.process_time() - cpu_seconds
    inboxes.close()
    await catalog.close()
    assert done == deliveries
    return deliveries / seconds, cpu_seconds / deliveries * 1e6


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--deliveries", type=int, default=8000)
    parser.add_argument("--postgres", action="store_true", help="beside it on a PostgreSQL")
    given = parser.parse_args()
    with ExitStack() as stack:
        server = stack.enter_context(running(fsync=True)) if given.postgres else None
        runs: dict[str, list[tuple[float, float]]] = {}
        for _ in range(given.rounds):
            for on in ("SQLite", "PostgreSQL")[: 1 if server is None else 2]:
                folder = Path(stack.enter_context(TemporaryDirectory()))
                where: Path | str = folder / "catalog.db"
                if on == "PostgreSQL" and server:
                    where = server.new_database()
                done = uvloop.run(absorb(where, folder, given.deliveries))
                runs.setdefault(on, []).append(done)
    rows = [_row(on, [*zip(*done, strict=True)]) for on, done in runs.items()]
    columns = ("absorb on", "deliveries/s", "min–max", "CPU µs")
    print_table(f"absorb, {given.rounds} rounds", columns, rows)


def _row(on: str, done: list[tuple[float, ...]]) -> tuple[str, ...]:
    rates, cpu = done
    spread = f"{min(rates):,.0f}–{max(rates):,.0f}"
    return on, f"{median(rates):,.0f}", spread, f"{median(cpu):.0f}"


if __name__ == "__main__":
    main()
