"""A service that works for a while, and what is read of it from outside."""

from __future__ import annotations

from pathlib import Path

from tests.torture.soak import live


async def test_all_that_comes_in_is_done_while_it_is_watched(tmp_path: Path) -> None:
    """Generations of all providers, through every role but the one that draws: none is lost, no job
    is left, and each role is seen with its memory and its open files."""
    it = await live(tmp_path, 30, seed=2026)
    assert (it.lost, it.left) == (0, 0)
    assert it.generations > 20
    last = it.readings[-1]
    assert last.resident_bytes.keys() == {"receive", "gateway", "archive", "web"}
    assert all(size > 1 << 20 for size in last.resident_bytes.values())
    assert all(last.descriptors.values())
