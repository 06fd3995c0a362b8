"""What one stretch of a process costs, in time, processor and memory: it tells, the bench reads."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Transfers:
    """What a copier is told: copy `count` pictures from `source` into the bucket."""

    source: str
    endpoint: str
    bucket: str
    size_bytes: int
    count: int
    workers: int
    name: str

    @classmethod
    def told(cls) -> Transfers:
        """From the command line, as JSON."""
        return cls(**json.loads(sys.argv[1]))

    def url(self, number: int) -> str:
        """The link of one picture, signed as they are; of another run it is another picture."""
        return (
            f"{self.source}/blob/{self.size_bytes}/{self.name}-{number}.png"
            "?Expires=4102444800&Signature=0123456789abcdef"
        )


class Meter:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._cpu_seconds = _cpu_seconds()
        self._begun_at = time.perf_counter()

    def tell(self, objects: int) -> None:
        """Prints what it took for so many objects."""
        seconds = time.perf_counter() - self._begun_at
        print(
            json.dumps(
                {
                    "per_second": objects / seconds,
                    "cpu_ms": (_cpu_seconds() - self._cpu_seconds) / objects * 1000,
                    "peak_mb": _peak_mb(),
                }
            ),
            flush=True,
        )


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_mb() -> float:
    """Not ru_maxrss, which a process inherits from the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1000
