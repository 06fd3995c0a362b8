"""Counts that processes share: room for them is taken before anything is counted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COUNT = """
from archiver import metrics
for number in range(60):
    metrics.DELIVERIES.labels("doitong", f"result {number}").inc()
"""


def count(folder: Path) -> subprocess.CompletedProcess[str]:
    """Counts in a process that is called `receive`, and shares its counts in that folder."""
    shared = {"PROMETHEUS_MULTIPROC_DIR": str(folder), "PROMETHEUS_MULTIPROC_NAME": "receive"}
    command = [sys.executable, "-c", COUNT]
    return subprocess.run(command, env={**os.environ, **shared}, capture_output=True, text=True)


def test_what_is_counted_has_its_room_on_the_disk(tmp_path: Path) -> None:
    """A disk that is full later ends no process that counts something for the first time."""
    assert count(tmp_path).returncode == 0
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [
        "counter_receive.db",
        "gauge_max_receive.db",
        "histogram_receive.db",
    ]
    for file in files:
        assert file.stat().st_blocks * 512 >= file.stat().st_size == 1 << 16


def test_without_room_each_process_counts_for_itself(tmp_path: Path) -> None:
    """A disk that is full already keeps no process from beginning."""
    assert count(tmp_path / "nowhere").returncode == 0
