"""What the gateway costs a submission, against a bare proxy that keeps nothing.

    python -m benchmarks.gateway [--rounds 5] [--requests 12000]

Both stand in front of a provider that answers for next to nothing (`floor.c`). Every submission is
a distinct body in DashScope's shape, sent by a generator in C: one after another for the latency,
over 64 keep-alive connections for the throughput. The gateway answers only after its commit, which
is measured on the same disk by itself; what it adds beyond that is its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from archiver.sqlite import open_writer
from benchmarks.harness import (
    HERE,
    build,
    compile_c,
    free_port,
    holdfast,
    median,
    print_table,
    python,
    run_load,
    serving,
    write_requests,
)

BARE, GATEWAY = "bare aiohttp proxy, keeps nothing", "holdfast's gateway"
PATH = "/gateway/dashscope/api/v1/services/aigc/text2image/image-synthesis"
WARM_UP = 500
ONE_BY_ONE = 1500
COMMITS = 300
KEPT_BYTES = 1200


def requests(count: int) -> Iterator[bytes]:
    """Submissions, each for another picture."""
    for number in range(count):
        submission = {
            "model": "stable-diffusion-xl",
            "input": {
                "prompt": f"picture {number} of a lighthouse at dusk, " + "in oil, " * 40,
                "negative_prompt": "blurry, low quality, watermark",
            },
            "parameters": {"size": "1024*1024", "n": 4, "steps": 40, "scale": 10, "seed": number},
        }
        body = json.dumps(submission).encode()
        yield (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            "Authorization: Bearer sk-0123456789abcdef0123456789abcdef\r\nAccept: */*\r\n"
            "Accept-Encoding: gzip, deflate\r\nUser-Agent: dashscope/2.0.2; python/3.11\r\n"
            f"X-DashScope-Async: enable\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body


def command(target: str, port: int, floor: int, folder: Path) -> list[str]:
    """How to start a target on a port, in front of the floor, with its data in `folder`."""
    if target == BARE:
        return [python(), str(HERE / "peers" / "gateway_bare.py"), str(port), str(floor)]
    (folder / "holdfast.toml").write_text(
        f'[listen]\ngateway = "127.0.0.1:{port}"\n[providers.dashscope]\n'
        f'base_url = "http://127.0.0.1:{floor}"\ngateway = true\n'
    )
    return [holdfast(), "serve", "--role", "gateway"]


def commit_ms(folder: Path) -> float:
    """The median of single durable commits of as much as an exchange keeps, in milliseconds."""
    connection = open_writer(folder / "commits.db")
    connection.execute("CREATE TABLE kept (body BLOB)")
    took = []
    for _ in range(COMMITS):
        began = time.perf_counter()
        connection.execute("INSERT INTO kept VALUES (randomblob(?))", (KEPT_BYTES,))
        took.append(time.perf_counter() - began)
    connection.close()
    return median(took) * 1000


def measure(
    target: str, load: Path, floor_program: Path, many: Path, few: Path
) -> dict[str, float]:
    """One run of one target: throughput, latency, and the commit of its disk."""
    with tempfile.TemporaryDirectory() as name:
        folder, floor, port = Path(name), free_port(), free_port()
        with (
            serving([floor_program, str(floor)], floor, environ={}, folder=folder),
            serving(command(target, port, floor, folder), port, environ={}, folder=folder),
        ):
            alone = run_load(load, port, few, connections=1, warm_up=WARM_UP)
            crowd = run_load(load, port, many, warm_up=WARM_UP)
            commit = commit_ms(folder)
    for result in (alone, crowd):
        if set(result["statuses"]) != {"200"}:
            raise SystemExit(f"{target} answered {result['statuses']}")
    return {
        "alone_ms": alone["p50_ms"],
        "per_second": crowd["per_second"],
        "p99_ms": crowd["p99_ms"],
        "commit_ms": commit,
    }


def main() -> None:
    """Prints the table, and what the gateway adds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=12000)
    given = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {BARE: [], GATEWAY: []}
    with tempfile.TemporaryDirectory() as name:
        load, _ = build(Path(name))
        floor = compile_c("floor.c", Path(name) / "floor", "-pthread")
        many, few = Path(name) / "many", Path(name) / "few"
        write_requests(many, requests(given.requests))
        write_requests(few, requests(WARM_UP + ONE_BY_ONE))
        for _ in range(given.rounds):
            for target, results in runs.items():
                results.append(measure(target, load, floor, many, few))
    report(runs)


def report(runs: dict[str, list[dict[str, float]]]) -> None:
    """Medians over the rounds; ratios and differences inside each."""
    pairs = list(zip(runs[GATEWAY], runs[BARE], strict=True))
    rows = []
    for target, results in runs.items():
        ratios = [
            one["per_second"] / base["per_second"]
            for one, base in zip(results, runs[BARE], strict=True)
        ]
        rows.append(
            (
                target,
                f"{median([one['alone_ms'] for one in results]):.2f}",
                f"{median([one['per_second'] for one in results]):,.0f}",
                f"{median(ratios):.2f}",
                f"{min(ratios):.2f}–{max(ratios):.2f}",
                f"{median([one['p99_ms'] for one in results]):.1f}",
            )
        )
    columns = ("submissions through", "alone, p50 ms", "per second", "ratio", "min–max", "p99 ms")
    print_table(f"gateway, {len(pairs)} rounds", columns, rows)
    commit = median([ours["commit_ms"] for ours, _ in pairs])
    added = [ours["alone_ms"] - bare["alone_ms"] - ours["commit_ms"] for ours, bare in pairs]
    print(f"one commit {commit:.2f} ms; added beyond it {median(added):.2f} ms (at most 1.5)")


if __name__ == "__main__":
    main()
