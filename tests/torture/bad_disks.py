"""A disk that fails and a disk that is full, below a service that hears webhooks all the time."""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from archiver import clock
from tests.preloading import preloaded
from tests.torture.puppet import Puppet, pulling_strings
from tests.torture.sabotage import without
from tests.torture.trial import Row, Run

Trouble = Callable[[Path], AbstractContextManager[None]]

RECOVERY_SECONDS = 5.0
_MUST = "0 acknowledged and lost, refusals 503 + Retry-After, < 5 s to recover, same processes"
_AT_ONCE = 24
_LOOK_SECONDS = 0.02
_DISK_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Suffered:
    """What senders met while a disk was bad, and what was there after."""

    answers: Mapping[int, int]
    lost: int
    lies: tuple[str, ...]
    recovery_seconds: float
    same_processes: bool

    @property
    def is_well(self) -> bool:
        """Whether refusals, which there were, are all that it cost."""
        harmed = self.lost or self.lies or not self.same_processes
        refused = self.answers.get(503, 0)
        return bool(refused) and not harmed and self.recovery_seconds < RECOVERY_SECONDS

    def __str__(self) -> str:
        told = ", ".join(f"{count} × {status}" for status, count in sorted(self.answers.items()))
        processes = "the same processes" if self.same_processes else "OTHER PROCESSES"
        lies = f"; {len(self.lies)} others, as {self.lies[0]}" if self.lies else ""
        recovery = f"{self.recovery_seconds:.1f} s to recover"
        return f"{told}; {self.lost} lost; {recovery}; {processes}{lies}"


def bad_disks(run: Run) -> list[Row]:
    """Whatever the disk says, senders are told the truth, and nobody has to restart anything."""
    environ = preloaded("faulty_disk", run.folder)
    dose = 50_000 if run.long else 2_000
    failing = asyncio.run(suffer(run.folder / "failing", environ, dose, failing_syncs))
    with small_disk(run.folder / "small") as (disk, what):
        full = asyncio.run(suffer(disk / "archive", environ, dose // 4, full_disk))
    early = environ | without(run.folder / "sabotage", "stored before answered")
    control = asyncio.run(suffer(run.folder / "control", early, dose // 10, failing_syncs))
    return [
        Row(
            test="fsync fails",
            dose=f"EIO for every fifth fsync, {dose} webhooks",
            must=_MUST,
            result=str(failing),
            kept=failing.is_well,
            control=f"answered before they are stored: {control.lost} lost",
            control_broke=control.lost > 0,
        ),
        Row(
            test="disk full",
            dose=f"ENOSPC of {what}, {dose // 4} webhooks",
            must=_MUST,
            result=str(full),
            kept=full.is_well,
        ),
    ]


async def suffer(folder: Path, environ: Mapping[str, str], dose: int, trouble: Trouble) -> Suffered:
    """Has `dose` webhooks insisted on, so long as the disk below `folder` is bad, and after that.

    It is well again when all are stored, or when there were as many refusals.
    """
    folder.mkdir()
    env = {**environ, "FAULTY_DISK": str(folder / "faults")}
    catalog = {"url": f"sqlite:///{folder}/catalog.db", "min_free_bytes": 0}
    async with pulling_strings(folder, env=env, catalog=catalog) as puppet:
        before = puppet.service.roles()
        await puppet.insist("before", _body("before"))
        rest = iter(range(dose))
        with trouble(folder):
            hands = [asyncio.create_task(_insist(puppet, rest)) for _ in range(_AT_ONCE)]
            while puppet.answers[503] < dose and not all(hand.done() for hand in hands):
                await asyncio.sleep(_LOOK_SECONDS)
        recovery_seconds = await _recovery_seconds(puppet)
        await asyncio.gather(*hands)
        same_processes = before == puppet.service.roles()
    return Suffered(
        answers=puppet.answers,
        lost=len(puppet.lost()),
        lies=tuple(puppet.lies),
        recovery_seconds=recovery_seconds,
        same_processes=same_processes,
    )


async def _insist(puppet: Puppet, rest: Iterator[int]) -> None:
    for number in rest:
        await puppet.insist(f"g{number}", _body(f"g{number}"))


async def _recovery_seconds(puppet: Puppet) -> float:
    """Until a new webhook is stored, and what it says known."""
    began_at = clock.monotonic()
    await puppet.insist("after", _body("after"))
    while not puppet.rows("SELECT 1 FROM generations WHERE id = 'after'"):
        await asyncio.sleep(_LOOK_SECONDS)
    return clock.monotonic() - began_at


def _body(name: str) -> bytes:
    return json.dumps({"id": name, "status": "processing"}).encode()


@contextmanager
def failing_syncs(folder: Path) -> Iterator[None]:
    """Every fifth fsync of a service in `folder` fails, wherever the file lies."""
    with _faults(folder, f"{errno.EIO} 0 20"):
        yield


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Nothing more can be written on the file system of `folder`, if it is a small one."""
    if folder.parent.stat().st_dev == folder.parent.parent.stat().st_dev:
        with _faults(folder, f"0 {errno.ENOSPC} 100"):
            yield
        return
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def _faults(folder: Path, said: str) -> Iterator[None]:
    faults = folder / "faults"
    faults.with_suffix(".new").write_text(said)
    faults.with_suffix(".new").replace(faults)
    try:
        yield
    finally:
        faults.unlink()


@contextmanager
def small_disk(place: Path) -> Iterator[tuple[Path, str]]:
    """A file system of 64 MB, and what it is; a plain folder where none may be mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        yield place, "every write (no tmpfs may be mounted here: that takes root)"
        return
    try:
        yield place, "a tmpfs of 64 MB"
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
