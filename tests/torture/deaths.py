"""The trial `kills`: any role, at any moment, by kill -9."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median

from tests.torture.kills import Dose, Killed, kill
from tests.torture.trial import Row, Run
from tests.torture.verdict import facts, faults, is_broken

CI = Dose(kills=25, generations=600, news=40)
LONG = Dose(kills=1000, generations=12_000, news=90)
# Leases that are never taken back are not taken back later either.
_CONTROL = Dose(kills=15, generations=120, news=24, patience_seconds=10)
# Chance decides what befalls a control, so one that was spared something is repeated.
_CONTROLS = 3
_LIMIT_SECONDS = 2.0
# Fewer times than this have no 95th percentile, and are judged by their median.
_MANY = 100
_PAGE_BYTES = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class _Promise:
    """What may never happen, by the names of `faults`; and without which safeguard it does."""

    name: str
    faults: tuple[str, ...]
    safeguard: str


_PROMISES = (
    _Promise(
        name="nothing lost",
        faults=("acknowledged and lost", "submitted, answered and lost", "good pictures missing"),
        safeguard="stored before answered",
    ),
    _Promise(
        name="no row twice",
        faults=("deliveries twice", "generations twice", "slots twice", "assets twice"),
        safeguard="known deliveries",
    ),
    _Promise(
        name="no object made twice", faults=("objects created twice",), safeguard="exclusive puts"
    ),
    _Promise(
        name="no job stuck",
        faults=("jobs left", "never came to rest", "jobs given up because workers died"),
        safeguard="leases taken back",
    ),
)


def kills(run: Run) -> list[Row]:
    """Kills the roles of a service; and those of a service without any of the safeguards."""
    it = _killed(run, "whole", LONG if run.long else CI, run.seed)
    away = [*(promise.safeguard for promise in _PROMISES), "a quick start"]
    broken = Counter[str]()
    for number in range(_CONTROLS):
        control = _killed(run, f"bare-{number}", _CONTROL, run.seed + number, away)
        broken.update(faults(control))
        if all(any(broken[fault] for fault in promise.faults) for promise in _PROMISES):
            break
    dose = f"{it.kills.total()} kills, {it.postman.taken()} acknowledged"
    found = faults(it)
    rows = [_row(promise, dose, found, broken, number + 1) for promise in _PROMISES]
    return [*rows, _others(dose, found), _integrity(dose, it, control), _restart(it, control)]


def _killed(run: Run, name: str, dose: Dose, seed: int, away: Collection[str] = ()) -> Killed:
    folder = run.folder / name
    folder.mkdir()
    it = asyncio.run(kill(folder, dose, seed, away=away))
    (folder / "log.txt").write_text(it.log)
    print("; ".join(f"{name}: {fact}" for name, fact in facts(it).items()), flush=True)
    return it


def _row(
    promise: _Promise,
    dose: str,
    found: Mapping[str, int],
    broken: Mapping[str, int],
    controls: int,
) -> Row:
    return Row(
        test=f"kill -9: {promise.name}",
        dose=dose,
        must=" and ".join(f"0 {fault}" for fault in promise.faults),
        result=_told({fault: found[fault] for fault in promise.faults}),
        kept=not any(found[fault] for fault in promise.faults),
        control=f"{controls * _CONTROL.kills} kills without {promise.safeguard!r}: "
        + _told({fault: broken[fault] for fault in promise.faults}),
        control_broke=any(broken[fault] for fault in promise.faults),
    )


def _others(dose: str, found: Mapping[str, int]) -> Row:
    """All that was not said yet."""
    said = {fault for promise in _PROMISES for fault in promise.faults} | {"databases not whole"}
    others = {fault: count for fault, count in found.items() if fault not in said}
    return Row(
        test="kill -9: all as it was drawn",
        dose=dose,
        must=f"0 of {len(others)} kinds of fault",
        result=_told(others),
        kept=not any(others.values()),
    )


def _integrity(dose: str, it: Killed, control: Killed) -> Row:
    """SQLite's own check; and the same of a database one page of which was spoilt."""
    catalog = control.folder / "catalog.db"
    with catalog.open("r+b") as file:
        file.seek(catalog.stat().st_size // 2 // _PAGE_BYTES * _PAGE_BYTES)
        file.write(b"\xff" * _PAGE_BYTES)
    spoilt, broken = is_broken(catalog), faults(it)["databases not whole"]
    return Row(
        test="kill -9: integrity",
        dose=dose,
        must="every database whole",
        result=f"{broken} not whole",
        kept=not broken,
        control=f"a page spoilt: {'seen' if spoilt else 'not seen'}",
        control_broke=spoilt,
    )


def _restart(it: Killed, control: Killed) -> Row:
    """From a kill of the listener until somebody has a 202 who came after it."""
    took = it.postman.stopwatch.took_seconds
    judge: Callable[[Sequence[float]], float]
    judge, name = (_p95, "p95") if len(took) >= _MANY else (median, "median")
    found, slow = judge(took), judge(control.postman.stopwatch.took_seconds)
    return Row(
        test="kill -9: restart",
        dose=f"{it.kills['receive']} kills of receive",
        must=f"first 202 after it: {name} < {_LIMIT_SECONDS:.0f} s",
        result=f"{name} {found:.2f} s, longest {max(took):.2f} s",
        kept=found < _LIMIT_SECONDS,
        control=f"without 'a quick start': {name} {slow:.2f} s",
        control_broke=slow >= _LIMIT_SECONDS,
    )


def _p95(took_seconds: Sequence[float]) -> float:
    return sorted(took_seconds)[ceil(0.95 * len(took_seconds)) - 1]


def _told(counts: Mapping[str, int]) -> str:
    """How often what happened, or that nothing did."""
    return ", ".join(f"{count} {fault}" for fault, count in counts.items() if count) or "0"
