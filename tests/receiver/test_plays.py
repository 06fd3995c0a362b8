"""Two inboxes and one catalog: whatever befalls the files, nothing is skipped, nothing is twice."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from receiver import absorb
from tests.receiver.ruins import Ruins
from tests.torture.inboxes import position_unproved
from tests.torture.plays import Play, play

LENGTH = 12
# Of a play in which a copy of an inbox is put back and then written on.
TELLING = 22


async def played(folder: Path, seed: int) -> Play:
    return await play(Ruins(folder=folder / "archive", bucket=folder / "bucket"), seed, LENGTH)


async def test_whatever_befalls_the_files_all_is_absorbed_once(tmp_path: Path) -> None:
    """Pruned, copied, put back, replaced, replayed, lost, backed up and restored, in any order."""
    for seed in (Random().randrange(10**6) for _ in range(2)):
        it = await played(tmp_path / str(seed), seed)
        assert (it.skipped, it.doubled) == (0, 0), (seed, it.happened)


@pytest.mark.parametrize(("fault", "seen"), [("_position", "skipped"), ("_advance", "doubled")])
async def test_a_play_sees_what_it_is_to_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, seen: str
) -> None:
    """Without the look at which inbox it is, something is skipped; without the note how far it
    came, something is absorbed twice."""
    without = {"_position": position_unproved, "_advance": lambda last, tables: None}
    monkeypatch.setattr(absorb, fault, without[fault])
    it = await played(tmp_path, TELLING)
    assert getattr(it, seen) > 0
