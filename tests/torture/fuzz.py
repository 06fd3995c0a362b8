"""Every reader of foreign bytes under a fuzzer that sees which lines it reaches."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pytest

from tests.fuzz.target import PLANTED, breaks, load, names
from tests.torture.trial import Row, Run

_RUNS = re.compile(r"number_of_executed_units: (\d+)")
_REACHED = re.compile(r"cov: (\d+) ft: (\d+)")
_RAISED = re.compile(r"=== Uncaught Python exception: ===\n(.*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fuzzed:
    """What came of fuzzing one target: how much was tried, and what broke its law, if anything."""

    dose: str
    finding: str


def fuzz(run: Run) -> list[Row]:
    """Each target from its corpus on; and a planted bug, by which the fuzzer shows that it sees."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        told = dict(pool.map(partial(_fuzzed, run), [*names(), PLANTED]))
    planted = told.pop(PLANTED)
    return [*(_row(name, it) for name, it in told.items()), _control(planted)]


def _fuzzed(run: Run, name: str) -> tuple[str, Fuzzed]:
    found = run.folder / name
    found.mkdir()
    seconds = 600 if run.long else 5
    if name == PLANTED:
        seconds = 60  # at most: it ends with what it finds
    options = (
        f"-seed={run.seed or 1}",
        "-reload=0",  # what else lies in the folder is looked at when the clock says so
        f"-max_total_time={seconds}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
    )
    command = [sys.executable, "-m", "tests.fuzz", name, *options, str(found)]
    env = {**os.environ, "PYTHONHASHSEED": "0"}  # the same seed, the same bytes
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
    said = ended.stdout.decode(errors="replace")
    (run.folder / f"{name}.log").write_text(said)
    runs, reached = _RUNS.search(said), _REACHED.findall(said)
    if runs is None or not reached:
        raise RuntimeError(f"{name} was not fuzzed: {said.strip()[-300:]}")
    edges, features = reached[-1]
    raised = _RAISED.search(said)
    return name, Fuzzed(
        dose=f"{int(runs[1]):,} runs, {edges} edges, {features} features",
        finding="" if ended.returncode == 0 else raised[1] if raised else "too slow or too large",
    )


def _row(name: str, told: Fuzzed) -> Row:
    with pytest.MonkeyPatch.context() as patched:
        away = load(name).sabotage
        patched.setattr(away.owner, away.name, away.instead)
        broke = breaks(name)
    return Row(
        test=f"fuzz: {name}",
        dose=told.dose,
        must="0 findings",
        result=told.finding[:200] or "0 findings",
        kept=not told.finding,
        control=f"without {away.says}: {'broken' if broke else 'nothing broken'}",
        control_broke=broke,
    )


def _control(told: Fuzzed) -> Row:
    return Row(
        test="fuzz: all of it",
        dose=told.dose,
        must="a bug that was planted behind comparisons is found",
        result=told.finding or "nothing found",
        kept="the planted bug" in told.finding,
    )
