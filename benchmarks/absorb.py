"""How many webhooks are absorbed a second, from a real inbox into a real catalog.

    python -m benchmarks.absorb [--rounds 5] [--deliveries 8000]

Each is of another generation: parsed, merged, planned, indexed for the search, and committed with
the position reached.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import uvloop

from archiver import clock
from archiver.catalog import Catalog
from archiver.catalog.schema import migrate
from archiver.inbox.stores import inbox_store
from benchmarks.harness import median, print_table
from benchmarks.heard import fill
from receiver.absorb import Absorb
from receiver.inboxes import Inboxes

LINK = "https://cdn.doitong.com/outputs/{}.jpg?Expires=4102444800&Signature=0123456789abcdef"


async def absorb(folder: Path, deliveries: int) -> tuple[float, float]:
    """Deliveries a second, and microseconds of processor for each."""
    path = folder / "catalog.db"
    migrate(path)
    await fill(folder / "inbox" / "receive.db", [LINK.format(n) for n in range(deliveries)])
    store = inbox_store(path, folder=folder / "inbox", node="here")
    catalog, inboxes = Catalog(path), Inboxes(store)
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
    given = parser.parse_args()
    runs = []
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as name:
            runs.append(uvloop.run(absorb(Path(name), given.deliveries)))
    rates, cpu = zip(*runs, strict=True)
    row = (
        "holdfast",
        f"{median(rates):,.0f}",
        f"{min(rates):,.0f}–{max(rates):,.0f}",
        f"{median(cpu):.0f}",
    )
    columns = ("absorb", "deliveries/s", "min–max", "CPU µs")
    print_table(f"absorb, {given.rounds} rounds", columns, [row])


if __name__ == "__main__":
    main()
