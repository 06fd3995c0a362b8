"""How fast webhooks are taken in on a PostgreSQL, against the same receiver on SQLite.

    python -m benchmarks.nodes [--rounds 5] [--requests 20000]

The same signed webhooks as `benchmarks.ingest`, over 64 connections to each receiver. The server is
on this machine and waits for the disk, and so does its synchronous standby where there is one: then
a 202 means two of them. Ratios are to SQLite inside one round, medians over the rounds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from benchmarks.harness import (
    build,
    free_port,
    holdfast,
    median,
    print_table,
    run_load,
    serving,
    write_requests,
)
from benchmarks.ingest import SECRETS, requests
from tests.archiver.postgres_server import running

WARM_UP = 1000

Loaded = list[dict[str, float]]


def settings(folder: Path, port: int, url: str) -> None:
    """The configuration of a receiver; without a URL on SQLite."""
    catalog = f'[catalog]\nurl = "{url}"\ndata_folder = "data"\nnode = "{port}"\n' if url else ""
    (folder / "holdfast.toml").write_text(
        f'{catalog}[listen]\npublic = "127.0.0.1:{port}"\n[providers.doitong]\n'
        f'secrets = {{ a = "{SECRETS[0]}", b = "{SECRETS[1]}" }}\n'
    )


def measure(load: Path, files: list[Path], url: str) -> Loaded:
    """One run: as many receivers at once as there are files, each sent its own."""
    with ExitStack() as stack:
        ports = [stack.enter_context(receiver(url)) for _ in files]
        with ThreadPoolExecutor(len(files)) as pool:
            runs = list(
                pool.map(
                    lambda it: run_load(load, it[0], it[1], warm_up=WARM_UP),
                    zip(ports, files, strict=True),
                )
            )
    for run in runs:
        if set(run["statuses"]) != {"202"}:
            raise SystemExit(f"a receiver answered {run['statuses']}")
    return runs


@contextmanager
def receiver(url: str) -> Iterator[int]:
    """The port of a receiver alone."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        settings(folder, port, url)
        command = [holdfast(), "serve", "--role", "receive"]
        with serving(command, port, environ={}, folder=folder):
            yield port


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=20000)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        load, _ = build(folder)
        halves = [folder / "one", folder / "other"]
        signed = requests(2 * given.requests)
        for half in halves:
            write_requests(half, islice(signed, given.requests))
        alone = stack.enter_context(running(fsync=True))
        replicated = stack.enter_context(running(fsync=True))
        stack.enter_context(replicated.synchronous_standby())
        targets: dict[str, Callable[[], Loaded]] = {
            "SQLite": lambda: measure(load, halves[:1], ""),
            "PostgreSQL": lambda: measure(load, halves[:1], alone.new_database()),
            "with a synchronous standby": lambda: measure(
                load, halves[:1], replicated.new_database()
            ),
            "two receivers on one PostgreSQL": lambda: measure(load, halves, alone.new_database()),
        }
        results: dict[str, list[Loaded]] = {name: [] for name in targets}
        for _ in range(given.rounds):
            for name, run in targets.items():
                results[name].append(run())
    report(results)


def report(results: dict[str, list[Loaded]]) -> None:
    """The table."""
    rates = {
        name: [sum(one["per_second"] for one in run) for run in runs]
        for name, runs in results.items()
    }
    rows = []
    for name, runs in results.items():
        ratios = [it / base for it, base in zip(rates[name], rates["SQLite"], strict=True)]
        tails = [max(one["p99_ms"] for one in run) for run in runs]
        rows.append(
            (
                name,
                f"{median(rates[name]):,.0f}",
                f"{median(ratios):.2f}",
                f"{min(ratios):.2f}–{max(ratios):.2f}",
                f"{median(tails):.1f}",
            )
        )
    rounds = len(next(iter(results.values())))
    columns = ("receive on", "requests/s", "ratio", "min–max", "p99 ms")
    print_table(f"ingest, {os.cpu_count()} cores, {rounds} rounds", columns, rows)


if __name__ == "__main__":
    main()
