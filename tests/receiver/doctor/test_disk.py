"""The disk, judged and measured."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

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
        (2**27 - 1, 2**27, Verdict.FAIL),
        (2**24 - 1, 0, Verdict.FAIL),
        (2**24, 0, Verdict.WARN),
        (2**30 - 1, 100, Verdict.WARN),
        (2**30, 100, Verdict.OK),
        (2**31, 2**30, Verdict.WARN),
        (2**32, 2**30, Verdict.OK),
    ],
)
def test_room_on_the_disk(free_bytes: int, min_free_bytes: int, verdict: Verdict) -> None:
    """Less than is never used fails, and next to nothing always; little more than that warns."""
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


def test_a_disk_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told once, with what to do, and not in the words of an exception."""
    archive(tmp_path)

    def read_only(**_: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), f"{tmp_path}/tmp1234")

    monkeypatch.setattr(disk, "TemporaryFile", read_only)
    monkeypatch.setattr(disk, "NamedTemporaryFile", read_only)
    [judged] = disk.flush(patient(tmp_path))
    assert judged.verdict is Verdict.FAIL
    assert judged.sentence == f"nothing can be written into {tmp_path} (Read-only file system)"
    assert "findmnt" in judged.cure
    assert list(disk.disk_clock(patient(tmp_path))) == []
