"""How fast links become objects in a bucket, against what people would write instead.

    python -m benchmarks.archive [--rounds 3] [--kilobytes 64 1024 8192] [--real-rounds 1]

Source and bucket cost next to nothing (floor.c), so what is measured is the one between them, on
plain HTTP over loopback, 16 transfers at once; then the bucket is a real S3 server: Ceph's gateway
where it is installed, else moto. Ratios are to the first row, inside one round. Each target is a
process of its own; of rclone, which cannot be asked, the cost of a run with one link is taken off.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.harness import HERE, compile_c, free_port, median, print_table, python, serving
from benchmarks.meter import Transfers
from receiver.roles.starting import ALLOCATOR
from tests.archiver.ceph_server import serve_ceph
from tests.archiver.moto_server import make_bucket, serve_moto

BUCKET = "bench"
WORKERS = 16
# How many objects of a size a run copies, by kilobytes.
COUNTS = {64: 3000, 1024: 800, 8192: 150}
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKTEST",
    "AWS_SECRET_ACCESS_KEY": "SKTESTSECRET",
    "AWS_DEFAULT_REGION": "us-east-1",
}
REMOTE = {
    "RCLONE_CONFIG": "/dev/null",
    "RCLONE_CONFIG_BENCH_TYPE": "s3",
    "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
    "RCLONE_CONFIG_BENCH_ENV_AUTH": "true",
    "RCLONE_CONFIG_BENCH_FORCE_PATH_STYLE": "true",
    "RCLONE_CONFIG_BENCH_NO_CHECK_BUCKET": "true",
    # Without a look at each object afterwards, as nobody else here takes one.
    "RCLONE_CONFIG_BENCH_NO_HEAD": "true",
}
MOST_MEGABYTES = 200

Measured = Mapping[str, float]


def copy_by(module: str, *flags: str) -> Callable[[Transfers], Measured]:
    """A peer in Python, which measures itself; all of them keep memory as our role does."""

    def run(told: Transfers) -> Measured:
        command = [python(), "-m", f"benchmarks.peers.{module}", json.dumps(asdict(told)), *flags]
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                command,
                cwd=HERE.parent,
                env={**os.environ, **KEYS, **ALLOCATOR},
                stdout=subprocess.PIPE,
                stderr=said,
                check=False,
            )
            if done.returncode:
                said.seek(0)
                raise SystemExit(f"{module} failed: {said.read()[-2000:].decode()}")
        measured: Measured = json.loads(done.stdout)
        return measured

    return run


def copy_by_rclone(told: Transfers) -> Measured:
    """rclone copyurl, less what it takes to start."""
    one, _ = _rclone(replace(told, count=1, name=f"{told.name}-one"))
    all_, peak_mb = _rclone(told)
    seconds, cpu_seconds = (more - less for more, less in zip(all_, one, strict=True))
    others = told.count - 1
    return {
        "per_second": others / seconds,
        "cpu_ms": cpu_seconds / others * 1000,
        "peak_mb": peak_mb,
    }


def _rclone(told: Transfers) -> tuple[tuple[float, float], float]:
    """Wall and processor seconds of one run, and its peak memory."""
    with tempfile.TemporaryDirectory() as name:
        urls = Path(name) / "urls.csv"
        with urls.open("w", newline="") as file:
            csv.writer(file).writerows(
                (told.url(n), f"{told.name}-{n}.png") for n in range(told.count)
            )
        words = f"rclone copyurl --urls {urls} bench:{told.bucket} --transfers {told.workers}"
        begun_at = time.perf_counter()
        process = subprocess.Popen(
            words.split(),
            executable=Path(python()).with_name("rclone"),
            env={**os.environ, **KEYS, **REMOTE, "RCLONE_CONFIG_BENCH_ENDPOINT": told.endpoint},
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun_at
    if status:
        raise SystemExit(f"rclone failed ({status})")
    return (seconds, used.ru_utime + used.ru_stime), used.ru_maxrss / 1000


TARGETS: Mapping[str, Callable[[Transfers], Measured]] = {
    "bare loop, no queue and no index": copy_by("archive_bare"),
    "holdfast": copy_by("archive_holdfast"),
    "holdfast, manifests too": copy_by("archive_holdfast", "--seals"),
    "boto3.put_object in threads": copy_by("archive_boto3"),
    "rclone copyurl, hashes nothing": copy_by_rclone,
}


def stored(floor: str) -> int:
    """How many objects the floor has swallowed."""
    with urllib.request.urlopen(f"{floor}/stored") as answer:
        return int(answer.read().split()[0])


def measure(name: str, told: Transfers) -> Measured:
    """One run of one target; on the floor every object is counted."""
    told = replace(told, name=secrets.token_hex(6))
    on_floor = told.endpoint == told.source
    before = stored(told.source) if on_floor else 0
    measured = TARGETS[name](told)
    arrived = stored(told.source) - before if on_floor else told.count
    if arrived < told.count:
        raise SystemExit(f"{name}: {arrived} of {told.count} objects arrived")
    return measured


def compare(title: str, targets: Sequence[str], told: Transfers, rounds: int) -> None:
    """Interleaved rounds of all targets, and their table; nothing for no rounds."""
    if not rounds:
        return
    runs: dict[str, list[Measured]] = {name: [] for name in targets}
    for _ in range(rounds):
        for name in targets:
            runs[name].append(measure(name, told))
    first = runs[targets[0]]
    rows = []
    for name, measured in runs.items():
        ratios = [
            run["per_second"] / base["per_second"]
            for run, base in zip(measured, first, strict=True)
        ]
        rows.append(
            (
                name,
                f"{median([run['per_second'] for run in measured]):,.0f}",
                f"{median(ratios):.2f}",
                f"{min(ratios):.2f}–{max(ratios):.2f}",
                f"{median([run['cpu_ms'] for run in measured]):.2f}",
                f"{max(run['peak_mb'] for run in measured):.0f}",
            )
        )
    columns = (f"{told.workers} at once", "objects/s", "ratio", "min–max", "CPU ms", "peak MB")
    print_table(f"{title}, {rounds} rounds", columns, rows)


@contextmanager
def real_server() -> Iterator[tuple[str, str]]:
    """The name and endpoint of a real S3 server with the bucket in it."""
    name, serve = ("Ceph", serve_ceph) if shutil.which("radosgw") else ("moto", serve_moto)
    with serve() as endpoint:
        make_bucket(endpoint, BUCKET)
        yield name, endpoint


def main() -> None:
    """Prints one table for each size of object and kind of bucket."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--real-rounds", type=int, default=1)
    parser.add_argument("--kilobytes", type=int, nargs="*", default=list(COUNTS))
    parser.add_argument("--targets", nargs="*", default=list(TARGETS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        floor = compile_c("floor.c", folder / "floor", "-pthread")
        with serving([floor, str(port)], port, environ={}, folder=folder):
            source = f"http://127.0.0.1:{port}"
            run_all(source, given)


def run_all(source: str, given: argparse.Namespace) -> None:
    """All tables, with the floor at `source`."""
    on_floor = Transfers(
        source=source,
        endpoint=source,
        bucket=BUCKET,
        size_bytes=0,
        count=0,
        workers=WORKERS,
        name="",
    )
    for kilobytes in given.kilobytes:
        told = replace(on_floor, size_bytes=kilobytes * 1024, count=COUNTS[kilobytes])
        compare(f"{kilobytes} KB, a bucket for free", given.targets, told, given.rounds)
    wanted = replace(on_floor, size_bytes=8 * 2**20, count=192, workers=64)
    peak_mb = measure("holdfast", wanted)["peak_mb"]
    print(f"64 transfers of 8 MB wanted at once: peak {peak_mb:.0f} MB of {MOST_MEGABYTES}\n")
    if not given.real_rounds:
        return
    with real_server() as (name, endpoint):
        for kilobytes in given.kilobytes:
            told = replace(
                on_floor,
                endpoint=endpoint,
                size_bytes=kilobytes * 1024,
                count=COUNTS[kilobytes] // 5,
            )
            compare(f"{kilobytes} KB into {name}", given.targets, told, given.real_rounds)


if __name__ == "__main__":
    main()
