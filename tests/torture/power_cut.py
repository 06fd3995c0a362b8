"""Power cuts at random moments of a short life, as often as wanted, with a disk that only keeps
what it promised to keep."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from archiver import log
from tests.preloading import preloaded
from tests.torture.disks import Disk, Record, read_log
from tests.torture.short_life import PROMISES
from tests.torture.survivors import faults, lay_out, read_promises
from tests.torture.trial import Row, Run

# What a cut leaves of what was not synced: nothing, or about half, sector by sector.
MODES = ("dropped", "torn")
CUTS_IN_A_LIFE = 25
DELIVERIES = 160


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """What was broken after one cut; `promises` is how many deliveries had been acknowledged."""

    mode: str
    at: int
    promises: int
    broken: Counter[str]


def power_cut(run: Run) -> list[Row]:
    """Nothing acknowledged is lost and nothing is corrupt with FULL; with NORMAL something is."""
    lives = (10_000 if run.long else 200) // CUTS_IN_A_LIFE
    chance = Random(run.seed)
    seeds = [chance.randrange(10**9) for _ in range(lives)]
    environ = preloaded("write_log", run.folder)
    with ProcessPoolExecutor(max_workers=os.cpu_count(), initializer=_silence) as pool:
        told = partial(cuts, run.folder, environ)
        full = [cut for found in pool.map(told, seeds) for cut in found]
        careless = {how: pool.submit(told, seeds[0], synchronous=how) for how in ("NORMAL", "OFF")}
        normal, off = (future.result() for future in careless.values())
    broken, lost, corrupt = total(full), total(normal)["lost"], total(off)["corrupt"]
    return [
        Row(
            test="power cut",
            dose=f"{len(MODES)} × {len(full) // len(MODES)} cuts, {acknowledged(full):,} promises",
            must="0 lost, 0 corrupt, no position ahead, no row without its bytes",
            result=", ".join(f"{count} {what}" for what, count in broken.items()) or "0 of each",
            kept=not broken,
            control=f"NORMAL: {lost} of {acknowledged(normal):,} lost, in "
            f"{sum(cut.broken['lost'] > 0 for cut in normal)} of {len(normal)} cuts; "
            f"OFF: {corrupt} of {len(off)} corrupt",
            control_broke=lost > 0 and corrupt > 0,
        )
    ]


def total(found: list[Cut]) -> Counter[str]:
    """How often each promise was broken."""
    return sum((cut.broken for cut in found), Counter())


def acknowledged(found: list[Cut]) -> int:
    """How many deliveries had been acknowledged before the cuts, together."""
    return sum(cut.promises for cut in found)


def cuts(
    folder: Path,
    environ: dict[str, str],
    seed: int,
    *,
    synchronous: str = "FULL",
    count: int = CUTS_IN_A_LIFE,
    deliveries: int = DELIVERIES,
) -> list[Cut]:
    """One life, and what so many cuts of it leave in each mode; its files stay if any broke it."""
    chance, scratch = Random(seed), folder / f"{synchronous}-{seed}"
    life, wal = scratch / "life", scratch / "log"
    life.mkdir(parents=True)
    _live(life, wal, environ, synchronous=synchronous, deliveries=deliveries, seed=seed)
    records, disk, found = read_log(wal), Disk(life), []
    at = _moments(records, life / PROMISES, count, chance)
    for number, record in enumerate(records):
        disk.told(record)
        if number not in at:
            continue
        for mode in MODES:
            ruin = scratch / f"{number}-{mode}"
            survivors = disk.surviving(chance if mode == "torn" else None)
            promised = read_promises(disk.seen(Path(PROMISES)))
            lay_out(survivors, ruin)
            broken = asyncio.run(faults(ruin, survivors, promised))
            heard = sum(what == "heard" for what, *_ in promised)
            found.append(Cut(mode=mode, at=number, promises=heard, broken=broken))
            if not broken:
                shutil.rmtree(ruin)
    if not total(found) or synchronous != "FULL":
        shutil.rmtree(scratch)
    return found


def _moments(records: list[Record], promises: Path, count: int, chance: Random) -> set[int]:
    """After which calls the power is cut: the very first promise, as many others, and anywhere."""
    file = next(it.inode for it in records if it.kind == "c" and it.paths == [promises])
    made = [at for at, it in enumerate(records) if it.kind == "w" and it.inode == file]
    others = chance.sample(range(len(records)), count - count // 2)
    return {made[0], *chance.sample(made[1:], count // 2 - 1), *others}


def _live(
    folder: Path,
    wal: Path,
    environ: dict[str, str],
    *,
    synchronous: str,
    deliveries: int,
    seed: int,
) -> None:
    words = ["--synchronous", synchronous, "--deliveries", str(deliveries), "--seed", str(seed)]
    told = subprocess.run(
        [sys.executable, "-m", "tests.torture.short_life", str(folder), *words],
        env={**os.environ, **environ, "WRITE_LOG": str(wal), "WRITE_LOG_FOLDER": str(folder)},
        capture_output=True,
        text=True,
    )
    if told.returncode:
        raise RuntimeError(f"the life of seed {seed} ended badly: {told.stderr[-2000:]}")


def _silence() -> None:
    log.configure("torture", file=io.StringIO())
