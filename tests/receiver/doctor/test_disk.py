"""The disk, judged and measured."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archiver import clock
from receiver.doctor import disk
from receiver.doctor.disk import filesystem_of, judge_flush, judge_skew, judge_space
from receiver.doctor.finding import Verdict
from receiver.doctor.patient import Patient
from tests.receiver.doctor.patients import archive, patient, verdicts

MOUNTS = r"""
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:5 / /dev/shm rw,nosuid - tmpfs tmpfs rw
23 21 0:40 / /data rw - nfs4 host:/data rw
24 23 8:3 / /data/a\040b rw master:2 - xfs /dev/sdb rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/holdfast", "ext4"),
        ("/dev/shm/x", "tmpfs"),
        ("/data", "nfs4"),
        ("/data/a b/c", "xfs"),
        ("/database", "ext4"),
    ],
)
def test_a_file_system_is_known_by_its_mount(path: str, kind: str) -> None:
    """The nearest that the path lies under; names may have spaces in them."""
    assert filesystem_of(Path(path), MOUNTS) == kind
    assert filesystem_of(Path(path), "") == ""


@pytest.mark.parametrize(
    ("seconds", "kind", "verdict", "says"),
    [
        (0.002, "ext4", Verdict.OK, "takes 2,000 µs"),
        (50e-6, "", Verdict.OK, "takes 50 µs"),
        (49e-6, "ext4", Verdict.WARN, "which no disk does"),
        (1e-6, "tmpfs", Verdict.WARN, "lies in memory (tmpfs)"),
        (0.002, "nfs4", Verdict.FAIL, "lies on nfs4"),
    ],
)
def test_a_disk_that_is_too_fast_may_lie(
    seconds: float, kind: str, verdict: Verdict, says: str
) -> None:
    """Memory does not even pretend, and over a network there is no write-ahead log."""
    judged = judge_flush(seconds, kind, "/here")
    assert (judged.verdict, says in judged.sentence) == (verdict, True)
    assert bool(judged.cure) is (verdict is not Verdict.OK)


@pytest.mark.parametrize(
    ("seconds", "verdict", "says"),
    [
        (0, Verdict.OK, "agrees"),
        (-5, Verdict.OK, "agrees"),
        (6, Verdict.WARN, "6 s ahead of ours"),
        (-60, Verdict.WARN, "60 s behind ours"),
        (61, Verdict.FAIL, "61 s ahead of ours"),
        (-9999, Verdict.FAIL, "9,999 s behind ours"),
    ],
)
def test_clocks_that_disagree(seconds: float, verdict: Verdict, says: str) -> None:
    """A few seconds do no harm; beyond a minute events are refused."""
    judged = judge_skew(timedelta(seconds=seconds), "it")
    assert (judged.verdict, says in judged.sentence) == (verdict, True)


@pytest.mark.parametrize(
    ("free_bytes", "min_free_bytes", "verdict"),
    [
        (99, 100, Verdict.FAIL),
        (2**30 - 1, 100, Verdict.WARN),
        (2**30, 100, Verdict.OK),
        (2**31, 2**30, Verdict.WARN),
        (2**32, 2**30, Verdict.OK),
    ],
)
def test_room_on_the_disk(free_bytes: int, min_free_bytes: int, verdict: Verdict) -> None:
    """Less than is never used fails; little more than that warns."""
    assert judge_space(free_bytes, min_free_bytes, "/here").verdict is verdict


def test_the_disk_of_this_machine_is_measured(tmp_path: Path) -> None:
    """Something is found by each, and nothing of it is left behind."""
    archive(tmp_path)
    before = sorted(tmp_path.iterdir())
    now = Patient(config=patient(tmp_path).config, now=clock.now)
    assert len(list(disk.flush(now))) == 1
    assert verdicts(disk.disk_clock(now)) == [Verdict.OK]
    assert len(list(disk.space(now))) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_clock_that_is_not_ours_is_noticed(tmp_path: Path) -> None:
    """As that of a file server may be."""
    archive(tmp_path)
    elsewhere = Patient(
        config=patient(tmp_path).config, now=lambda: datetime(2000, 1, 1, tzinfo=UTC)
    )
    assert verdicts(disk.disk_clock(elsewhere)) == [Verdict.FAIL]


def test_folders_that_others_may_read(tmp_path: Path) -> None:
    """What is in an inbox opens pictures; the cure is what to type."""
    archive(tmp_path)
    assert verdicts(disk.folders(patient(tmp_path))) == [Verdict.OK]
    (tmp_path / "accounts.key").write_bytes(b"k")
    (tmp_path / "accounts.key").chmod(0o640)
    (tmp_path / "inbox").chmod(0o750)
    [judged] = disk.folders(patient(tmp_path))
    assert judged.verdict is Verdict.FAIL
    assert os.system(judged.cure) == 0
    assert verdicts(disk.folders(patient(tmp_path))) == [Verdict.OK]
