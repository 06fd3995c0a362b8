"""How long an acknowledgement takes while the archive copies beside it as fast as it can.

    python -m benchmarks.beside [--rounds 3] [--rate 500] [--seconds 10]

A receiver alone, and a whole service that has a backlog of pictures of 1 MB to absorb and to copy
from a source into a bucket that cost nothing (`floor.c`). Latency counts from the moment a request
was due, so a stalled receiver cannot hide its queue.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.harness import (
    build,
    compile_c,
    free_port,
    holdfast,
    median,
    print_table,
    run_load,
    serving,
    write_requests,
)
from benchmarks.ingest import SECRETS, post

PICTURE_BYTES = 1 << 20
BACKLOG = 3000
ALONE, BESIDE = "receive alone", "beside an archive at full speed"


def requests(first: int, count: int, floor: int) -> Iterator[bytes]:
    """Signed webhooks whose links lead to the floor."""
    for number in range(first, first + count):
        url = f"http://127.0.0.1:{floor}/blob/{PICTURE_BYTES}/gen{number}"
        body = {"id": f"gen{number}", "status": "completed", "url": url, "note": "x" * 350}
        yield post(json.dumps(body).encode(), SECRETS[0])


def configuration(public: int, private: int, floor: int) -> str:
    """A service that takes pictures from the floor and puts them there."""
    return f"""
[listen]
public = "127.0.0.1:{public}"
private = "127.0.0.1:{private}"
[bucket]
url = "s3://floor"
endpoint = "http://127.0.0.1:{floor}"
region = "us-east-1"
[providers.doitong]
secrets = {{ a = "{SECRETS[0]}" }}
download_hosts = ["127.0.0.1"]
[egress]
allow_http = true
allow_ports = [{floor}]
allow_cidrs = ["127.0.0.0/8"]
"""


def stored(floor: int) -> int:
    """How many objects the floor has swallowed."""
    with urlopen(f"http://127.0.0.1:{floor}/stored") as answer:
        return int(answer.read().split()[0])


def measure(
    target: str, load: Path, floor_program: Path, rate: int, seconds: int
) -> dict[str, Any]:
    """One run on an empty disk: the latencies, and how many pictures were copied meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder, floor, public = Path(name), free_port(), free_port()
        (folder / "holdfast.toml").write_text(configuration(public, free_port(), floor))
        backlog, paced = folder / "backlog", folder / "paced"
        write_requests(backlog, requests(0, BACKLOG, floor))
        write_requests(paced, requests(BACKLOG, rate * seconds, floor))
        roles = ["--role", "receive"] if target == ALONE else []
        environ = {"AWS_ACCESS_KEY_ID": "floor", "AWS_SECRET_ACCESS_KEY": "floor"}
        with (
            serving(
                ["nice", "-n", "10", floor_program, str(floor)], floor, environ={}, folder=folder
            ),
            serving([holdfast(), "serve", *roles], public, environ=environ, folder=folder),
        ):
            run_load(load, public, backlog)
            before = stored(floor)
            result = run_load(load, public, paced, warm_up=rate, rate=rate)
            return {**result, "copied": (stored(floor) - before) / seconds}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=10)
    given = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {ALONE: [], BESIDE: []}
    with tempfile.TemporaryDirectory() as name:
        load, _ = build(Path(name))
        floor = compile_c("floor.c", Path(name) / "floor", "-pthread")
        for _ in range(given.rounds):
            for target, runs in results.items():
                runs.append(measure(target, load, floor, given.rate, given.seconds))
    rows = [
        (
            target,
            *(f"{median([run[name] for run in runs]):.1f}" for name in ("p50_ms", "p99_ms")),
            f"{max(run['max_ms'] for run in runs):.1f}",
            f"{median([run['copied'] for run in runs]):.0f}",
            ", ".join(sorted({status for run in runs for status in run["statuses"]})),
        )
        for target, runs in results.items()
    ]
    columns = ("acknowledged", "p50 ms", "p99 ms", "max ms", "copied/s", "answers")
    title = f"{given.rate} deliveries/s for {given.seconds} s, {given.rounds} rounds"
    print_table(title, columns, rows)


if __name__ == "__main__":
    main()
