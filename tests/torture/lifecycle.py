"""Generations under all that may befall them, in any order, beside a model a page long."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest

from tests.archiver.lives import BROKEN, Lives, live
from tests.torture.trial import Row, Run

STEPS = 30


def lifecycle(run: Run) -> list[Row]:
    """What is heard, fetched, drawn, ordered and forgotten, in any order, loses nothing."""
    examples = 20_000 if run.long else 400
    shares = os.cpu_count() or 1
    with ProcessPoolExecutor(shares) as pool:
        seeds = range(run.seed, run.seed + shares)
        told = list(pool.map(partial(live, examples=examples // shares, steps=STEPS), seeds))
        controls = list(pool.map(partial(_broken, run.seed), BROKEN))
    broke = [lives.broke for lives in told if lives.broke]
    (run.folder / "broken.txt").write_text("\n\n".join(broke))
    blind = [name for name, lives in zip(BROKEN, controls, strict=True) if not lives.broke]
    return [
        Row(
            test="lifecycle",
            dose=f"{_sum(told)} from seed {run.seed}",
            must="no state falls, no picture or slot lost, redelivery changes nothing",
            result=f"broken: {broke[0][:200]}" if broke else "0 broken",
            kept=not broke,
            control=f"without {', '.join(BROKEN)}: broken in all {len(BROKEN)}"
            if not blind
            else f"not seen: {', '.join(blind)}",
            control_broke=not blind,
        )
    ]


def _broken(number: int, name: str) -> Lives:
    with pytest.MonkeyPatch.context() as patched:
        BROKEN[name](patched)
        return live(number, examples=300, steps=STEPS, shrunk=False)


def _sum(told: list[Lives]) -> str:
    examples, steps = sum(it.examples for it in told), sum(it.steps for it in told)
    return f"{examples:,} lives, {steps:,} steps"
