"""Power cuts: what was acknowledged is there afterwards, and the attack sees where it would not be.

`python -m tests.torture --only power_cut` cuts more often.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.preloading import needs_compiler, preloaded
from tests.torture.disks import Disk, Record
from tests.torture.power_cut import cuts, total

ROOT = Path("/disk")
FOLDER, FILE = 2, 3


def record(kind: str, inode: int = 0, at: int = 0, said: bytes = b"") -> Record:
    return Record(kind=kind, inode=inode, at=at, said=said)


# A folder and a file in it, of 1,024 bytes, whose names and bytes are nowhere yet.
MADE = [
    record("d", 1, said=b"/disk"),
    record("d", FOLDER, said=b"/disk/a"),
    record("c", FILE, said=b"/disk/a/b"),
    record("w", FILE, said=b"x" * 1024),
]
SYNCED = {"bytes": record("s", FILE), "name": record("s", FOLDER), "folder": record("s", 1)}
OVERWRITTEN = record("w", FILE, said=b"y" * 1024)


def disk(*records: Record) -> Disk:
    it = Disk(ROOT)
    for each in (*MADE, *records):
        it.told(each)
    return it


@pytest.mark.parametrize(
    ("synced", "left"),
    [
        ([], {}),
        (["bytes", "name"], {}),
        (["bytes", "folder"], {}),
        (["name", "folder"], {Path("a/b"): b""}),
        (["bytes", "name", "folder"], {Path("a/b"): b"x" * 1024}),
    ],
)
def test_only_what_was_synced_outlives_a_cut(synced: list[str], left: dict[Path, bytes]) -> None:
    """Bytes, a name and the folder's own name each need a sync of their own."""
    assert disk(*(SYNCED[each] for each in synced)).surviving(None) == left


def test_a_torn_write_is_there_by_sectors() -> None:
    """Of what was not synced any sector may be on the disk, and none is mixed."""
    torn = disk(*SYNCED.values(), OVERWRITTEN)
    seen = {torn.surviving(Random(seed))[Path("a/b")] for seed in range(50)}
    sectors = [letter * 512 for letter in (b"x", b"y")]
    assert seen == {first + second for first in sectors for second in sectors}


@needs_compiler
def test_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Inbox, catalog and bucket: no delivery, no position and no picture that was told of."""
    found = cuts(tmp_path, preloaded("write_log", tmp_path), 1, count=4, deliveries=40)
    assert len(found) >= 8
    assert not total(found)


@needs_compiler
def test_a_power_cut_takes_what_was_not_synced(tmp_path: Path) -> None:
    """The attack is not blind: with synchronous=NORMAL deliveries are lost."""
    environ = preloaded("write_log", tmp_path)
    found = cuts(tmp_path, environ, 1, synchronous="NORMAL", count=4, deliveries=40)
    assert total(found)["lost"]
