"""Days of bad workers in seconds: the queue's promises hold for every seed, and only so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.archiver.stories import after_an_outage, broken_promises

SEEDS = int(os.environ.get("HOLDFAST_SEEDS", "40"))
FIRST_SEED = int(os.environ.get("HOLDFAST_FIRST_SEED", "0"))


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
def test_no_asset_twice_no_job_stuck(migrated: Path, seed: int) -> None:
    """Whatever crashes, sleeps or lies about the time, each picture is archived once or said lost.

    To see one again: HOLDFAST_FIRST_SEED=<seed> HOLDFAST_SEEDS=1.
    """
    assert broken_promises(migrated, seed) == []


def test_without_the_fence_stale_workers_settle(migrated: Path) -> None:
    """The safeguard is what keeps the promise: the same stories break it without."""
    assert any(broken_promises(migrated, seed, fenced=False) for seed in range(12))


def test_deadlines_first_saves_what_first_come_first_served_loses(migrated: Path) -> None:
    """After an outage the order of work decides how many links die."""
    lost_by_deadline = after_an_outage(migrated, 1, by_deadline=True)
    lost_in_line = after_an_outage(migrated, 1, by_deadline=False)

    assert lost_in_line >= 10 * max(lost_by_deadline, 1)
