"""The demo as anybody's first command: it must end well by itself, or say what did not."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from receiver.commands.demo_cases import cases
from tests.service import HOLDFAST, PATIENCE_SECONDS, holdfast

# What a `sitecustomize` says where the extra is not installed.
WITHOUT_EXTRA = "import sys\nsys.modules['diffusers'] = None\n"

SAID = {
    True: ["drawn by the fallback renderer", "The weights are random here"],
    False: ["no renderer: the link died at ", "pip install 'holdfast[render]'"],
}


@pytest.mark.parametrize("drawn", [True, False], ids=["drawing", "without the extra"])
def test_the_demo_ends_well_and_names_every_outcome(tmp_path: Path, drawn: bool) -> None:
    """`holdfast demo --once` exits 0; its table tells of every prompt what the provider did, how
    it ended and why; what it leaves behind is an archive like any other. What is lost is drawn
    where that can be, else it waits, and it is said what to install."""
    folder = tmp_path / "demo"
    environ = {"PATH": "/usr/bin:/bin", "COLUMNS": "250", "LANG": "C.UTF-8"}
    if not drawn:
        (tmp_path / "sitecustomize.py").write_text(WITHOUT_EXTRA)
        environ |= {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    demo = subprocess.run(
        [HOLDFAST, "demo", "--once", "--data", str(folder)],
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_SECONDS,
        env=environ,
        cwd=tmp_path,
        check=False,
    )
    assert (demo.returncode, demo.stderr) == (0, "")
    rows = [" ".join(line.split()) for line in demo.stdout.splitlines()]
    for case in cases(drawn=drawn):
        told = [row for row in rows if case.prompt[:20] in row and case.story in row]
        assert len(told) == 1, (case, demo.stdout)
        assert f" {case.story} {case.ends.value} " in told[0]
    assert any("the forged webhook was answered 401 and quarantined" in row for row in rows)
    assert any("moderation, never drawn" in row for row in rows)
    assert [words for words in SAID[drawn] if words not in demo.stdout] == []
    assert [words for words in SAID[not drawn] if words in demo.stdout] == []
    assert "searching the archive for 'neon' finds" in demo.stdout
    found = holdfast(folder / "holdfast.toml", "search", "lighthouse")
    assert (found.returncode, "A lighthouse in a storm" in found.stdout) == (0, True)
    left = {path.name for path in tmp_path.iterdir()}
    assert left - {"sitecustomize.py"} == {"demo"}


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
