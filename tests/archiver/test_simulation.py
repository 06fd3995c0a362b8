"""Days of bad workers in seconds: the queue's promises hold for every seed, and only so."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.archiver.catalog.scratch import scratch
from tests.archiver.simulation import Simulation

SEEDS = int(os.environ.get("HOLDFAST_SEEDS", "40"))
FIRST_SEED = int(os.environ.get("HOLDFAST_FIRST_SEED", "0"))

LIVES_SECONDS = (600, 3600, 86400)
# Webhooks that wait when an outage ends.
OUTAGE = 250


def crowded(simulation: Simulation) -> int:
    """Twenty to sixty webhooks, a third of them twice; how many there are."""
    count = simulation.random.randrange(20, 60)
    for number in range(count):
        life_seconds = simulation.random.choice(LIVES_SECONDS)
        for _ in range(1 + (simulation.random.random() < 0.3)):
            simulation.after(
                simulation.random.random() * 200,
                lambda number=number, life=life_seconds: simulation.hear(number, life_seconds=life),
            )
    return count


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
def test_no_asset_twice_no_job_stuck(migrated: Path, seed: int) -> None:
    """Whatever crashes, sleeps or lies about the time, each picture is archived once or said lost.

    To see one again: HOLDFAST_FIRST_SEED=<seed> HOLDFAST_SEEDS=1.
    """
    with scratch(migrated) as tables:
        simulation = Simulation(tables, seed)
        count = crowded(simulation)
        simulation.run(hours=26)

        assert simulation.violations == []
        assert set(simulation.states()) <= {"completed", "discarded", "held"}
        assert sum(simulation.states().values()) == count
        archived = simulation.slots()["archived"]
        assets = tables.connection.execute("SELECT slot, sha256 FROM assets").fetchall()
        assert len(assets) == len(set(assets)) == archived
        assert {digest for _, digest in assets} <= simulation.world.bucket
        # Of those that lived a day none is lost; a short life may end under a dead worker's lease.
        lost = [url for url in simulation.world.dead if _life(simulation, url) > 3600 * 2]
        assert lost == []


def _life(simulation: Simulation, url: str) -> float:
    born_at = simulation.world.expires_at[url]
    (first,) = simulation.tables.connection.execute(
        "SELECT min(first_heard_at) FROM generations"
    ).fetchone()
    return born_at.timestamp() - first / 1000


def test_without_the_fence_stale_workers_settle(migrated: Path) -> None:
    """The safeguard is what keeps the promise: the same stories break it without."""
    violations = 0
    for seed in range(12):
        with scratch(migrated) as tables:
            simulation = Simulation(tables, seed, fenced=False)
            crowded(simulation)
            simulation.run(hours=26)
            violations += len(simulation.violations)

    assert violations > 0


def after_an_outage(migrated: Path, *, by_deadline: bool) -> tuple[int, int]:
    """Half an hour's webhooks wait for two slow workers: how many are lost, how many had to be."""
    with scratch(migrated) as tables:
        simulation = Simulation(
            tables,
            seed=1,
            workers=2,
            crash=0,
            zombie=0,
            work_seconds=3.0,
            claim_limit=1,
            by_deadline=by_deadline,
        )
        simulation.world.flaky = 0
        lives = random.Random(1)
        for number in range(OUTAGE):
            simulation.hear(number, life_seconds=lives.choice((150, 280, 86400)))
        simulation.run(hours=1)
        return len(simulation.world.dead), simulation.slots()["archived"]


def test_deadlines_first_saves_what_first_come_first_served_loses(migrated: Path) -> None:
    """After an outage the order of work decides how many links die."""
    lost_by_deadline, saved = after_an_outage(migrated, by_deadline=True)
    lost_in_line, _ = after_an_outage(migrated, by_deadline=False)

    assert saved + lost_by_deadline == OUTAGE
    assert lost_in_line > 5 * max(lost_by_deadline, 1)
