"""What the benchmarks share: building the load generator, starting servers, telling ratios.

Times on a shared machine swing by factors, so everything here is measured in interleaved rounds
and told as the median of ratios inside one round.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent


def build(folder: Path) -> tuple[Path, Path]:
    """Compiles the load generator and the slow-disk preload; needs a C compiler."""
    load = compile_c("load.c", folder / "load")
    return load, compile_c("slow_sync.c", folder / "slow_sync.so", "-shared", "-fPIC", "-ldl")


def compile_c(source: str, target: Path, *flags: str) -> Path:
    """One of the C programs here, built."""
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O2", "-o", target, HERE / source, *flags], check=True)
    return target


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_requests(path: Path, requests: Iterator[bytes]) -> None:
    """The load generator's file: records of (uint32 length, bytes)."""
    with path.open("wb") as file:
        for request in requests:
            file.write(struct.pack("=I", len(request)) + request)


@contextmanager
def serving(
    command: Sequence[str | Path], port: int, *, environ: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, once its port answers; told to stop afterwards."""
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, **environ},
        cwd=folder,
        stdout=log,
        stderr=log,
    )
    try:
        gives_up_at = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if time.monotonic() > gives_up_at or process.poll() is not None:
                    raise SystemExit(f"{command[0]} did not start: see {log.name}") from None
                time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=40)
        log.close()


def run_load(load: Path, port: int, requests: Path, **options: Any) -> dict[str, Any]:
    """One run of the load generator."""
    words = [load, port, options.get("connections", 64), options.get("warm_up", 0), requests]
    if "rate" in options:
        words.append(options["rate"])
    done = subprocess.run([str(word) for word in words], check=True, capture_output=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout."""
    table = Table(title=title, box=None, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


def python() -> str:
    """The interpreter that runs this."""
    return sys.executable


def holdfast() -> str:
    """The command that is measured."""
    return str(Path(sys.executable).with_name("holdfast"))
