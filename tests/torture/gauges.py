"""What a service takes of the machine, read from outside: proc(5), the files, the queue."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, linear_regression

from archiver import clock
from archiver.moments import to_millis
from archiver.sqlite import open_reader
from tests.service import Service

_STRETCHES = 6
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# What was tried already waits by design.
_OLDEST = (
    "SELECT min(wanted_at) FROM jobs WHERE state = 'available' AND attempts = 0"
    " AND kind <> 'render'"  # nobody draws here
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One moment: per role resident bytes and open descriptors, and its children's with them;
    the bytes of all write-ahead logs; for how long the oldest job waits that could be done."""

    at_seconds: float
    resident_bytes: Counter[str]
    descriptors: Counter[str]
    log_bytes: int
    oldest_seconds: float


def read(service: Service, folder: Path) -> Reading:
    """How things stand now."""
    resident, descriptors = Counter[str](), Counter[str]()
    roles = service.roles()
    for process, session in _processes():
        role = roles.get(session)
        if role is not None:
            try:
                pages = int((process / "statm").read_text().split()[1])
                open_now = len(os.listdir(process / "fd"))  # noqa: PTH208 (names alone)
            except OSError:
                continue  # it has ended just now
            resident[role] += pages * _PAGE_BYTES
            descriptors[role] += open_now
    logs = [*folder.glob("*-wal"), *(folder / "inbox").glob("*-wal")]
    return Reading(
        at_seconds=clock.monotonic(),
        resident_bytes=resident,
        descriptors=descriptors,
        log_bytes=sum(log.stat().st_size for log in logs),
        oldest_seconds=_oldest_seconds(folder / "catalog.db"),
    )


def growth(readings: Sequence[Reading], of: Callable[[Reading], float]) -> tuple[float, float]:
    """By how much the lows of something rose over these readings, and its mean.

    What is never given back raises the lows; what is taken for a moment raises only the highs,
    and where a reading happens to meet it is chance. So a straight line is laid (least squares)
    through the lowest reading of each stretch.
    """
    lows = [min(stretch, key=of) for stretch in _stretches(readings)]
    line = linear_regression([low.at_seconds for low in lows], [of(low) for low in lows])
    whole_seconds = readings[-1].at_seconds - readings[0].at_seconds
    return line.slope * whole_seconds, fmean(map(of, readings))


def _stretches(readings: Sequence[Reading]) -> list[Sequence[Reading]]:
    """The readings in as many equal parts as a line needs, or nearly equal ones."""
    ends = [len(readings) * part // _STRETCHES for part in range(_STRETCHES + 1)]
    return [readings[begin:end] for begin, end in pairwise(ends)]


def _processes() -> list[tuple[Path, int]]:
    """All that live, with their sessions: each role began one of its own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # The name before these is in brackets and may hold anything.
            session = (process / "stat").read_text().rpartition(")")[2].split()[3]
        except OSError:
            continue
        found.append((process, int(session)))
    return found


def _oldest_seconds(catalog: Path) -> float:
    with closing(open_reader(catalog)) as connection:
        ((wanted_at,),) = connection.execute(_OLDEST)
    return 0.0 if wanted_at is None else (to_millis(clock.now()) - wanted_at) / 1000
