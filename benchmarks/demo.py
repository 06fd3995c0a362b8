"""What a newcomer waits for: the demo's end, and a service's first 202.

python -m benchmarks.demo [--rounds 7]
"""

from __future__ import annotations

import argparse
import hmac
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import free_port, holdfast, median, print_table

SECRET = "whsec_0123456789abcdef"
PATIENCE_SECONDS = 60
BODY = b'{"id": "hello", "status": "processing"}'


def demo_once(folder: Path) -> float:
    """Seconds of `holdfast demo --once`, from start to end."""
    begun_at = time.perf_counter()
    subprocess.run(
        [holdfast(), "demo", "--once", "--data", folder],
        check=True,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
    )
    return time.perf_counter() - begun_at


def first_202(folder: Path) -> float:
    """Seconds from the start of `holdfast serve` to its first 202."""
    public, private = free_port(), free_port()
    (folder / "holdfast.toml").write_text(
        f'[listen]\npublic = "127.0.0.1:{public}"\nprivate = "127.0.0.1:{private}"\n'
        f'[providers.doitong]\nsecrets = {{ a = "{SECRET}" }}\n'
    )
    signature = hmac.digest(SECRET.encode(), BODY, "sha256").hex()
    request = urllib.request.Request(
        f"http://127.0.0.1:{public}/webhooks/doitong",
        data=BODY,
        headers={"X-Doitong-Signature": f"sha256={signature}"},
    )
    begun_at = time.perf_counter()
    service = subprocess.Popen(
        [holdfast(), "serve"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _accepted(request):
            if service.poll() is not None or time.perf_counter() - begun_at > PATIENCE_SECONDS:
                raise SystemExit("holdfast serve did not take a webhook in")
            time.sleep(0.002)
        return time.perf_counter() - begun_at
    finally:
        service.terminate()
        service.wait(timeout=PATIENCE_SECONDS)


def _accepted(request: urllib.request.Request) -> bool:
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return bool(answer.status == 202)
    except (ConnectionError, urllib.error.URLError):
        return False


WAITS: dict[str, Callable[[Path], float]] = {
    "holdfast demo --once, start to end": demo_once,
    "holdfast serve, start to first 202": first_202,
}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    runs: dict[str, list[float]] = {name: [] for name in WAITS}
    for _ in range(given.rounds):
        for name, wait in WAITS.items():
            with tempfile.TemporaryDirectory() as folder:
                runs[name].append(wait(Path(folder)))
    rows = [
        (name, f"{median(seconds):.2f} s", f"{min(seconds):.2f}–{max(seconds):.2f}")
        for name, seconds in runs.items()
    ]
    columns = ("a newcomer waits for", "median", "min–max")
    print_table(f"start, {given.rounds} rounds", columns, rows)


if __name__ == "__main__":
    main()
