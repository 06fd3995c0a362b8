"""The trial `soak`: many generations of all providers, one after the other, and what grows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

from archiver.clock import monotonic
from archiver.sqlite import open_reader
from tests.torture.customers import Wish, wishes
from tests.torture.gauges import Reading, growth, read
from tests.torture.house import House, inhabited
from tests.torture.kills import LEFT, PATIENCE_SECONDS, came_to_rest
from tests.torture.sabotage import without
from tests.torture.trial import Row, Run
from tests.torture.verdict import count, rows

CI, LONG, CONTROL = 2_000, 100_000, 700
SPOILT_SHARE = 0.05
_AT_ONCE = 16
# Customers wait while so much is due to be asked, fetched or made small: they come as quickly as
# the service can work.
_MOST_DUE = 100
_DUE = "SELECT count(*) FROM jobs WHERE state = 'available' AND kind IN ('poll', 'fetch', 'derive')"
_LOOK_SECONDS = 0.1
_READINGS = 60
_MEBI = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Soaked:
    """What was read while all came in, and what was left undone of it."""

    generations: int
    seconds: float
    readings: list[Reading]
    lost: int
    left: int

    def grown(self, gauge: _Gauge) -> dict[str, tuple[float, float]]:
        """By how much each value of a gauge rose in the second half, when all is warm, and its
        mean then."""
        half = self.readings[len(self.readings) // 2 :]
        names = {name for reading in half for name in gauge.read(reading)}
        return {
            name: growth(half, lambda each, name=name: gauge.read(each).get(name, 0.0))
            for name in sorted(names)
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gauge:
    """What is to be flat: it may rise by a twentieth of its mean, or by `slack`."""

    name: str
    read: Callable[[Reading], Mapping[str, float]]
    unit: str
    slack: float

    def rises(self, risen: float, mean: float) -> bool:
        """Whether it rose by more than that."""
        return risen > max(0.05 * mean, self.slack)

    def told(self, grown: Mapping[str, tuple[float, float]]) -> str:
        """Each value and its rise."""
        return ", ".join(
            f"{name} {mean:.1f}{risen:+.1f} {self.unit}".strip()
            for name, (risen, mean) in grown.items()
        )


_GAUGES = (
    _Gauge(
        name="resident memory",
        read=lambda it: {role: size / _MEBI for role, size in it.resident_bytes.items()},
        unit="MiB",
        slack=12,
    ),
    _Gauge(name="open files", read=lambda it: it.descriptors, unit="", slack=6),
    _Gauge(
        name="write-ahead logs",
        read=lambda it: {"all": it.log_bytes / _MEBI},
        unit="MiB",
        slack=32,  # each goes round in some MiB
    ),
    _Gauge(name="oldest job due", read=lambda it: {"age": it.oldest_seconds}, unit="s", slack=2),
)


def soak(run: Run) -> list[Row]:
    """Lets a service work, and one that leaks, leaves work undone and cannot end its log."""
    whole, leaky = run.folder / "whole", run.folder / "leaky"
    whole.mkdir()
    leaky.mkdir()
    it = asyncio.run(live(whole, LONG if run.long else CI, run.seed))
    control = asyncio.run(live(leaky, CONTROL, run.seed, away=("memory let go", "seals")))
    dose = f"{it.generations} generations in {it.seconds:.0f} s, {len(it.readings)} readings"
    return [*(_flat(gauge, dose, it, control) for gauge in _GAUGES), _done(dose, it)]


async def live(folder: Path, generations: int, seed: int, *, away: Collection[str] = ()) -> Soaked:
    """One service and all that is asked through it.

    One that has to do without safeguards (`away`) has somebody, too, who reads its catalog and
    never ends.
    """
    wanted = islice(wishes(Random(seed), spoilt_share=SPOILT_SHARE), generations)
    env = without(folder / "sabotage", *away) if away else {}
    readings: list[Reading] = []
    async with inhabited(folder, seed=seed, env=env) as house:
        with closing(open_reader(folder / "catalog.db")) as reader:
            if away:
                reader.execute("BEGIN").execute(_DUE).fetchone()
            began = monotonic()
            reading = asyncio.create_task(_read(house, folder, readings))
            await asyncio.gather(*(_submit(house, wanted, folder) for _ in range(_AT_ONCE)))
            await house.came_in()
            reading.cancel()
            seconds = monotonic() - began
        if not away:
            await came_to_rest(folder, PATIENCE_SECONDS)
        known = {*rows(folder / "catalog.db", "SELECT provider, id FROM generations")}
        answered = house.customers.answered.keys()
    return Soaked(
        generations=len(answered),
        seconds=seconds,
        readings=readings,
        lost=len(answered - known),
        left=count(folder / "catalog.db", LEFT),
    )


async def _submit(house: House, wanted: Iterator[Wish], folder: Path) -> None:
    for wish in wanted:
        while count(folder / "catalog.db", _DUE) > _MOST_DUE:
            await asyncio.sleep(_LOOK_SECONDS)
        await house.customers.submit(wish)


async def _read(house: House, folder: Path, readings: list[Reading]) -> None:
    """Reads every second, and where that becomes many, forgets every other and goes on slower."""
    pause_seconds = 1.0
    while True:
        readings.append(await asyncio.to_thread(read, house.service, folder))
        await asyncio.sleep(pause_seconds)
        if len(readings) == 2 * _READINGS:
            del readings[::2]
            pause_seconds *= 2


def _flat(gauge: _Gauge, dose: str, it: Soaked, control: Soaked) -> Row:
    grown, bare = it.grown(gauge), control.grown(gauge)
    return Row(
        test=f"soak: {gauge.name}",
        dose=dose,
        must="its lows in the second half up by less than 5 % of the mean or "
        f"{gauge.slack:g} {gauge.unit}".strip(),
        result=gauge.told(grown),
        kept=not any(gauge.rises(*each) for each in grown.values()),
        control="requests kept, seals never begun, a reader without end: "
        + gauge.told({name: each for name, each in bare.items() if gauge.rises(*each)}),
        control_broke=any(gauge.rises(*each) for each in bare.values()),
    )


def _done(dose: str, it: Soaked) -> Row:
    return Row(
        test="soak: all done",
        dose=dose,
        must="0 lost, 0 jobs left",
        result=f"{it.lost} lost, {it.left} jobs left; {60 * it.generations / it.seconds:.0f} a"
        " minute",
        kept=not (it.lost or it.left),
    )
