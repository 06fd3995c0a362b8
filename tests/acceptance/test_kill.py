"""Roles that die without a word while webhooks come in, and what is left when all is quiet."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import ClientSession

from receiver.simulator import Simulator
from tests.acceptance.test_spine import Told, submit
from tests.service import SECRET, eventually, from_simulator, running
from tests.torture.kills import Dose, kill
from tests.torture.verdict import facts, faults, rows

DOSE = Dose(kills=4, generations=60, news=8)


async def test_whichever_role_is_killed_nothing_acknowledged_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    """Everything acknowledged is stored once and absorbed once, every good picture is archived byte
    for byte and created once, no job is left, and each database is whole; with `SEED=…` again."""
    seed = int(os.environ.get("SEED") or Random().randrange(10**6))
    print(f"SEED={seed}")  # shown when the test fails
    outcome = await kill(tmp_path, DOSE, seed)
    print(facts(outcome))
    found = faults(outcome)
    assert found == dict.fromkeys(found, 0)
    assert outcome.kills.total() == DOSE.kills
    assert len(outcome.answered) > DOSE.generations // 2


async def test_a_fetch_that_died_is_taken_up_before_its_lease_has_run_out(tmp_path: Path) -> None:
    """A link may not live as long as a lease, so a start of the role takes back what the one before
    it was at."""
    catalog = tmp_path / "catalog.db"

    async def row(sql: str) -> tuple[Any, ...] | None:
        return next(iter(rows(catalog, sql)), None)

    async with (
        Simulator(SECRET.encode(), drawing_seconds=0, slow_link_seconds=1) as simulator,
        ClientSession() as client,
    ):
        with running(tmp_path, egress=from_simulator(simulator.base_url)) as service:
            fox = Told(prompt="a fox", faults=frozenset({"slow_link"}), remembered=False)
            await submit(client, simulator, service, fox)
            leased = "SELECT lease_until FROM jobs WHERE kind = 'fetch' AND state = 'running'"
            (lease_until,) = await eventually(lambda: row(leased))
            service.kill("archive")
            (archived_at,) = await eventually(lambda: row("SELECT archived_at FROM assets"))
    assert archived_at < lease_until
