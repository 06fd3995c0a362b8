"""A role's process, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import asyncio
from archiver import process

async def run(orders, stop, ready):
    ready()
    raise RuntimeError("of https://user:guess-me@example.org/a?Signature=guess-me-too")

process.main("archive", dict, run)
"""


def test_a_fault_of_ours_is_a_line_like_any_other() -> None:
    """Where it was stands in it, and no secret; the process ends with 1, to be started again."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input='{"config": {"log": {}}}\n',
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in said] == ["ready", "the role ended by a fault of ours"]
    assert "RuntimeError" in said[-1]["exception"]
    assert "guess-me" not in done.stderr
