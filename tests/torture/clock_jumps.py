"""The clock of the whole service jumps, by an hour and by a year, ahead and back, as it works."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tests.archiver.origin import answer
from tests.preloading import preloaded
from tests.torture.puppet import Puppet, pulling_strings, trickling
from tests.torture.sabotage import without
from tests.torture.trial import Row, Run

HOUR, YEAR = timedelta(hours=1), timedelta(days=365)
JUMPS = {"+1 h": HOUR, "-1 h": -HOUR, "+1 y": YEAR, "-1 y": -YEAR}
# How long a fetch is under way when the clock jumps: longer than a worker takes to look again.
SLOW_SECONDS = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Jumped:
    """What came of it; `twice` are fetches that were begun while they were under way."""

    webhooks: int
    twice: int
    taken_back: int
    lost: int
    unequal: int
    doubled: int
    refused: int
    not_archived: tuple[str, ...]
    same_processes: bool

    @property
    def is_well(self) -> bool:
        """Whether nothing was harmed."""
        counts = (self.twice, self.taken_back, self.lost, self.unequal, self.doubled, self.refused)
        return not any(counts) and not self.not_archived and self.same_processes


def clock_jumps(run: Run) -> list[Row]:
    """Nobody alive loses a lease, nothing is done twice or lost, all heals when it is set back."""
    rounds = 10 if run.long else 1
    environ = preloaded("shifted_clock", run.folder)
    jumps = [it for _ in range(rounds) for it in JUMPS.values()]
    it = asyncio.run(jump(run.folder / "kept", environ, jumps))
    unaware = environ | without(run.folder / "sabotage", "leaps of time")
    control = asyncio.run(jump(run.folder / "control", unaware, [HOUR]))
    return [
        Row(
            test="clock jumps",
            dose=f"{len(jumps)} jumps of the clock and back, {it.webhooks} webhooks",
            must="0 early lease expiries, 0 duplicates, 0 lost, all archived",
            result=f"{it.taken_back} leases taken from the living, {it.twice + it.doubled} "
            f"duplicates, {it.lost} lost, {it.refused} refused, "
            f"{len(it.not_archived)} not archived",
            kept=it.is_well,
            control=f"leaps unnoticed: {control.taken_back} leases taken from the living",
            control_broke=control.taken_back > 0,
        )
    ]


async def jump(
    folder: Path, environ: Mapping[str, str], jumps: list[timedelta], *, crowd: int = 20
) -> Jumped:
    """Sets the clock by each of `jumps` in turn, and back, among `crowd` fetches under way."""
    folder.mkdir()
    shift = folder / "shift"
    shift.write_bytes(bytes(8))
    env = {**environ, "CLOCK_SHIFT": str(shift)}
    async with pulling_strings(folder, env=env, archive={"patience_seconds": 0.5}) as puppet:
        before = puppet.service.roles()
        for number, by in enumerate(jumps):
            await _jump(puppet, shift, str(number), by, crowd)
        settled = await puppet.archived()
        same_processes = before == puppet.service.roles()
    fates = {} if settled else puppet.fates()
    slow = [name for name in puppet.told if "slow" in name]
    return Jumped(
        webhooks=len(puppet.told),
        twice=sum(puppet.asked(name) - 1 for name in slow),
        taken_back=puppet.service.count("lease lost"),
        lost=len(puppet.lost()),
        unequal=len(puppet.unequal()),
        doubled=sum(count - 1 for count in puppet.stored().values()),
        refused=len(puppet.lies),
        not_archived=tuple(f"{name}: {it}" for name, it in fates.items() if it[0] != "archived"),
        same_processes=same_processes,
    )


async def _jump(puppet: Puppet, shift: Path, name: str, by: timedelta, crowd: int) -> None:
    """One jump there and back, each with fetches under way, and with links that fail meanwhile."""
    for moment, seconds in (("there", int(by.total_seconds())), ("back", 0)):
        slow = [f"{name}-{moment}-slow-{each}" for each in range(crowd)]
        await asyncio.gather(*(puppet.tell(it, trickling(it, SLOW_SECONDS)) for it in slow))
        await puppet.asked_for(*slow)
        with shift.open("r+b") as file:
            file.write(struct.pack("q", seconds))
        bad = [f"{name}-{moment}-bad-{each}" for each in range(crowd // 4)]
        await asyncio.gather(*(puppet.tell(it, answer(500), answer(503)) for it in bad))
        await puppet.asked_for(*bad)
        await puppet.archived(*slow)
