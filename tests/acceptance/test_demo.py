"""The demo as anybody's first command: it must end well by itself, or say what did not."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from receiver.commands.demo_cases import CASES
from tests.service import HOLDFAST, PATIENCE_SECONDS, holdfast


def test_the_demo_ends_well_and_names_every_outcome(tmp_path: Path) -> None:
    """`holdfast demo --once` exits 0; its table tells of every prompt what the provider did, how
    it ended and why; what it leaves behind is an archive like any other."""
    folder = tmp_path / "demo"
    demo = subprocess.run(
        [HOLDFAST, "demo", "--once", "--data", str(folder)],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_SECONDS,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "250", "LANG": "C.UTF-8"},
        cwd=tmp_path,
        check=False,
    )
    assert (demo.returncode, demo.stderr) == (0, "")
    rows = [" ".join(line.split()) for line in demo.stdout.splitlines()]
    for case in CASES:
        told = [row for row in rows if case.prompt[:20] in row and case.story in row]
        assert len(told) == 1, (case, demo.stdout)
        assert f" {case.story} {case.ends.value} " in told[0]
    assert any("the forged webhook was answered 401 and quarantined" in row for row in rows)
    assert any("no renderer: the link died at " in row for row in rows)
    assert any("moderation, never drawn" in row for row in rows)
    assert "searching the archive for 'neon' finds" in demo.stdout
    found = holdfast(folder / "holdfast.toml", "search", "lighthouse")
    assert (found.returncode, "A lighthouse in a storm" in found.stdout) == (0, True)
    assert {path.name for path in tmp_path.iterdir()} == {"demo"}


def test_ctrl_c_during_the_demo_ends_it_quietly(tmp_path: Path) -> None:
    """Whoever has seen enough gets no traceback, whatever was still under way."""
    with subprocess.Popen(
        [HOLDFAST, "demo", "--data", str(tmp_path / "demo")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        first = demo.stdout.readline()  # all roles are ready, and the show begins
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
    assert "A simulated Doitong" in first
    assert (demo.returncode, "Traceback" in rest) == (0, False), rest
