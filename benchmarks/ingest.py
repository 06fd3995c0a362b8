"""How fast webhooks are taken in, durably, against what people would write instead.

    python -m benchmarks.ingest [--rounds 5] [--requests 30000] [--sync-milliseconds 0 1 5]

Every request is a distinct signed body of about 600 bytes over 64 keep-alive connections, sent by a
generator in C; ratios are to the first row, inside one round, medians over the rounds.
"""

from __future__ import annotations

import argparse
import hmac
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import (
    HERE,
    build,
    free_port,
    holdfast,
    median,
    print_table,
    python,
    run_load,
    serving,
    write_requests,
)

SECRETS = ("whsec_0123456789abcdef", "whsec_fedcba9876543210")
WARM_UP = 2000

TARGETS = ("bare aiohttp, stores nothing", "holdfast", "commit per request", "FastAPI + SQLite")


def requests(count: int) -> Iterator[bytes]:
    """Signed webhooks, each of another generation."""
    for number in range(count):
        payload = {
            "id": f"gen{number:012d}",
            "status": "completed",
            "url": f"https://cdn.doitong.com/outputs/gen{number:012d}.jpg?Expires=1799999999"
            f"&Signature={'0123456789abcdef' * 4}",
            "service": "stable-diffusion",
            "createdAt": "2026-11-20T00:00:00Z",
            "completedAt": "2026-11-20T00:01:00Z",
            "metadata": {"duration": None, "width": 1920, "height": 1080, "note": "x" * 250},
        }
        yield post(json.dumps(payload).encode(), SECRETS[number % 2])


def post(body: bytes, secret: str) -> bytes:
    """A signed webhook, byte for byte."""
    signature = hmac.digest(secret.encode(), body, "sha256").hex()
    return (
        b"POST /webhooks/doitong HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json"
        b"\r\nUser-Agent: doitong-webhooks/1\r\nX-Doitong-Signature: sha256="
        + signature.encode()
        + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
        + body
    )


def command(target: str, port: int, folder: Path) -> list[str]:
    """How to start a target on a port, with its data in `folder`."""
    peers = HERE / "peers"
    if target == "holdfast":
        (folder / "holdfast.toml").write_text(
            f'[listen]\npublic = "127.0.0.1:{port}"\n[providers.doitong]\n'
            f'secrets = {{ a = "{SECRETS[0]}", b = "{SECRETS[1]}" }}\n'
        )
        return [holdfast(), "serve", "--role", "receive"]
    if target == "commit per request":
        return [python(), str(peers / "commit_each.py"), str(port), str(folder / "peer.db")]
    if target == "FastAPI + SQLite":
        return [python(), str(peers / "fastapi_sqlite.py"), str(port), str(folder / "peer.db")]
    return [python(), str(peers / "bare.py"), str(port)]


def measure(
    target: str, load: Path, slow: Path, file: Path, sync_milliseconds: float
) -> dict[str, float]:
    """One run of one target on an empty disk."""
    environ = {}
    if sync_milliseconds:
        environ["LD_PRELOAD"] = str(slow)
        environ["SLOW_SYNC_MICROSECONDS"] = str(int(sync_milliseconds * 1000))
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        with serving(command(target, port, folder), port, environ=environ, folder=folder):
            result = run_load(load, port, file, warm_up=WARM_UP)
    if set(result["statuses"]) != {"202"}:
        raise SystemExit(f"{target} answered {result['statuses']}")
    return result


def main() -> None:
    """Prints one table for each cost of fsync."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=30000)
    parser.add_argument("--sync-milliseconds", type=float, nargs="*", default=[0.0, 1.0, 5.0])
    parser.add_argument("--targets", nargs="*", default=TARGETS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        load, slow = build(Path(name))
        full, few = Path(name) / "full", Path(name) / "few"
        write_requests(full, requests(given.requests))
        write_requests(few, requests(WARM_UP + 1500))
        for sync in given.sync_milliseconds:
            results: dict[str, list[dict[str, float]]] = {target: [] for target in given.targets}
            for _ in range(given.rounds):
                for target in given.targets:
                    slow_peer = sync > 0 and target in TARGETS[2:]
                    file = few if slow_peer else full
                    results[target].append(measure(target, load, slow, file, sync))
            report(sync, results)


def report(sync: float, results: dict[str, list[dict[str, float]]]) -> None:
    """The table of one cost of fsync."""
    first = next(iter(results.values()))
    rows = []
    for target, runs in results.items():
        ratios = [
            run["per_second"] / base["per_second"] for run, base in zip(runs, first, strict=True)
        ]
        tails = [run["p99_ms"] / base["p99_ms"] for run, base in zip(runs, first, strict=True)]
        rows.append(
            (
                target,
                f"{median([run['per_second'] for run in runs]):,.0f}",
                f"{median(ratios):.2f}",
                f"{min(ratios):.2f}–{max(ratios):.2f}",
                f"{median([run['p50_ms'] for run in runs]):.1f}",
                f"{median([run['p99_ms'] for run in runs]):.1f}",
                f"{median(tails):.1f}",
            )
        )
    columns = ("receiver", "requests/s", "ratio", "min–max", "p50 ms", "p99 ms", "p99 ratio")
    print_table(f"ingest, fsync + {sync:g} ms, {len(first)} rounds", columns, rows)


if __name__ == "__main__":
    main()
