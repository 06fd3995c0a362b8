"""Roles that an operator starts again while clients of all kinds go on."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.torture.restarts import restart


async def test_who_sends_while_roles_are_started_again_is_always_served(tmp_path: Path) -> None:
    """On connections old and new: nobody is refused, cut off or told 5xx, and what was acknowledged
    is there once."""
    roles = ["receive", "archive", "gateway", "receive", "web"]
    outcome = await restart(tmp_path, roles, Random(2026))
    assert outcome.tally.failed == 0, outcome.tally
    assert (outcome.lost, outcome.doubled) == (0, 0)
    assert len(outcome.acknowledged) > 300
