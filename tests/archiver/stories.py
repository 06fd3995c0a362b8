"""Stories for the simulation, and what must be true of each when it ends."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from archiver.catalog import Tables
from tests.archiver.catalog.scratch import scratch
from tests.archiver.simulation import Simulation

LIVES_SECONDS = (600, 3600, 86400)
# Webhooks that wait when an outage ends, each with one of these lives: enough time to save nearly
# all of them, but not in any order.
OUTAGE = 220
OUTAGE_LIVES_SECONDS = (150, 280, 86400)
# Of links that lived so long none may die; a short life may end under a dead worker's lease.
_LONG_SECONDS = 2 * 3600


def broken_promises(migrated: Path, seed: int, *, fenced: bool = True) -> list[str]:
    """`broken_promises_in` the tables of an empty catalog in a file."""
    return broken_promises_in(scratch(migrated), seed, fenced=fenced)


def broken_promises_in(
    empty: AbstractContextManager[Tables], seed: int, *, fenced: bool = True
) -> list[str]:
    """Twenty to sixty webhooks among bad workers: each is archived once, or said lost; or not."""
    with empty as tables:
        simulation = Simulation(tables, seed, fenced=fenced)
        count = _crowd(simulation)
        simulation.run(hours=26)
        return simulation.violations + _wrong(simulation, count)


def after_an_outage(migrated: Path, seed: int, *, by_deadline: bool) -> int:
    """Half an hour's webhooks wait for two slow workers: how many links die.

    Raises:
        ValueError: a link is neither archived nor dead.
    """
    with scratch(migrated) as tables:
        simulation = Simulation(
            tables,
            seed,
            workers=2,
            crash=0,
            zombie=0,
            work_seconds=3.0,
            claim_limit=1,
            by_deadline=by_deadline,
        )
        simulation.world.flaky = 0
        for number in range(OUTAGE):
            life_seconds = simulation.random.choice(OUTAGE_LIVES_SECONDS)
            simulation.hear(number, life_seconds=life_seconds)
        simulation.run(hours=1)
        lost = len(simulation.world.dead)
        if lost + simulation.slots()["archived"] != OUTAGE:
            raise ValueError(f"of seed {seed} some links are neither archived nor dead")
        return lost


def _crowd(simulation: Simulation) -> int:
    """Has webhooks come, a third of them twice; how many there are."""
    count = simulation.random.randrange(20, 60)
    for number in range(count):
        life_seconds = simulation.random.choice(LIVES_SECONDS)
        for _ in range(1 + (simulation.random.random() < 0.3)):
            simulation.after(
                simulation.random.random() * 200,
                lambda number=number, life=life_seconds: simulation.hear(number, life_seconds=life),
            )
    return count


def _wrong(simulation: Simulation, count: int) -> list[str]:
    states = simulation.states()
    stuck = set(states) - {"completed", "discarded", "held"}
    wrong = [f"{states[state]} jobs are still {state}" for state in sorted(stuck)]
    if states.total() != count:
        wrong.append(f"{states.total()} jobs for {count} pictures")
    assets = simulation.tables.connection.execute("SELECT slot, sha256 FROM assets").fetchall()
    if not len(assets) == len(set(assets)) == simulation.slots()["archived"]:
        wrong.append(f"{len(assets)} assets for {simulation.slots()['archived']} archived slots")
    if not {digest for _, digest in assets} <= simulation.world.bucket:
        wrong.append("an asset has no object")
    long_lived = [
        url for url in simulation.world.dead if simulation.life_seconds[url] > _LONG_SECONDS
    ]
    if long_lived:
        wrong.append(f"{len(long_lived)} links died that had lived long")
    return wrong
