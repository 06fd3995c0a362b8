"""How long it takes to find what looks like a picture among as many as there are.

    python -m benchmarks.similar [--hashes 1000000] [--questions 300]

The hashes are made up: half of them stand alone, the others are families of up to forty, each a few
bits from the first of it. Half of the questions are about members of a family. Between each two the
same sum over an array of that size is taken, so that what a noisy machine does to them shows.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from multiprocessing import Process
from pathlib import Path
from typing import Any

import numpy as np

from archiver.catalog import Tables
from archiver.catalog.schema import migrate
from archiver.looks import DISTANCE, Looks
from archiver.sqlite import open_reader, open_writer
from benchmarks.harness import print_table

LIMIT = 60
_CARD = (
    "INSERT INTO cards (number, provider, generation_id, slot_index, generation_state, state,"
    " reason, sha256, created_at, first_heard_at, drawn, flagged, moderated)"
    " VALUES (?, 'doitong', '', 0, 'succeeded', 'archived', '', ?, 0, 0, 0, 0, 0)"
)


def made(count: int) -> tuple[Any, int]:
    """As many hashes, signed, the families first; and how many of them are in families."""
    random = np.random.default_rng(1)
    founders = random.integers(-(2**63), 2**63, count // 40, dtype=np.int64)
    sizes = random.integers(2, 40, len(founders))
    families = np.repeat(founders, sizes)[: count // 2]
    for _ in range(6):  # up to six bits
        flipped = np.uint64(1) << random.integers(0, 64, len(families), dtype=np.uint64)
        some = random.random(len(families)) < 0.5
        families ^= np.where(some, flipped, np.uint64(0)).view(np.int64)
    alone = random.integers(-(2**63), 2**63, count - len(families), dtype=np.int64)
    return np.concatenate([families, alone]), len(families)


def fill(path: Path, count: int) -> None:
    """An archive of pictures with such hashes, as far as it is looked at here."""
    hashes, _ = made(count)
    migrate(path)
    connection = open_writer(path, synchronous="OFF")
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("BEGIN")
    digests = [number.to_bytes(32, "big") for number in range(1, count + 1)]
    connection.executemany(
        "INSERT INTO previews (sha256, phash, width, height) VALUES (?, ?, 320, 320)",
        zip(digests, hashes.tolist(), strict=True),
    )
    connection.executemany(_CARD, enumerate(digests, start=1))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    begun_at = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begun_at)


def measure(tables: Tables, looks: Looks, asked: list[int], size: int) -> dict[str, list[float]]:
    """The times of each question's two parts, and of the control."""
    times: dict[str, list[float]] = {"all that is near": [], "and shown": [], "control": []}
    control = np.ones(size, np.int64)
    for phash in asked:
        near = timed(lambda phash=phash: list(looks.near(tables, phash, distance=DISTANCE)))
        whole = timed(
            lambda phash=phash: looks.similar(tables, b"", phash, distance=DISTANCE, limit=LIMIT)
        )
        for name, took in zip(times, (near, whole, timed(control.sum)), strict=True):
            times[name].append(took)
    return times


def quantile(times: list[float], share: float) -> str:
    """The time that so many took at most."""
    return f"{sorted(times)[min(len(times) - 1, int(share * len(times)))]:.2f}"


def resident_mb() -> float:
    """What this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hashes", type=int, default=1_000_000)
    parser.add_argument("--questions", type=int, default=300)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "catalog.db"
        filling = Process(target=fill, args=(path, given.hashes))  # whose memory is not counted
        filling.start()
        filling.join()
        connection = open_reader(path)
        tables, looks = Tables(connection), Looks()
        before_mb = resident_mb()
        load_ms = timed(lambda: list(looks.near(tables, 0, distance=0)))
        load_mb = resident_mb() - before_mb
        hashes, in_families = made(given.hashes)
        random = np.random.default_rng(2)
        places = random.integers(0, [in_families, given.hashes] * (given.questions // 2))
        times = measure(tables, looks, hashes[places].tolist(), given.hashes)
        connection.close()
    print_table(
        f"what looks alike among {given.hashes:,} pictures, up to {DISTANCE} bits of 64, ms",
        ("question", "p50", "p99"),
        [(name, quantile(took, 0.5), quantile(took, 0.99)) for name, took in times.items()],
    )
    print(f"read from the catalog in {load_ms:.0f} ms, into {load_mb:.0f} MB of memory")


if __name__ == "__main__":
    main()
