"""The demo as anybody's first command: it must end well by itself, or say what did not."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from receiver.commands.demo_cases import cases
from tests.preloading import needs_compiler, preloaded
from tests.service import HOLDFAST, PATIENCE_SECONDS, holdfast

# What a `sitecustomize` says where the extra is not installed.
WITHOUT_EXTRA = "import sys\nsys.modules['diffusers'] = None\n"

SAID = {
    True: ["drawn by the fallback renderer", "The weights are random here"],
    False: ["no renderer: the link died at ", "pip install 'holdfast[render]'"],
}


# What a library does that takes from the network what it lacks.
DOWNLOAD = """
from contextlib import suppress
import huggingface_hub
with suppress(Exception):
    huggingface_hub.snapshot_download("somebody/something")
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables under which a program can speak with this machine alone, and is found out."""
    folder = tmp_path_factory.mktemp("alone")
    said = {"LOOPBACK_ONLY": str(folder / "asked"), "HF_HOME": str(folder)}
    return {**preloaded("loopback_only", folder), **said}


@needs_compiler
def test_who_would_download_is_found_out(
    alone: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    """By name and by address, in Python or not."""
    asked = Path(alone["LOOPBACK_ONLY"])
    programs = {
        "look up": [sys.executable, "-c", DOWNLOAD],
        "connect 192.0.2.1": ["curl", "--silent", "http://192.0.2.1/"],
    }
    for expected, program in programs.items():
        subprocess.run(program, env={"PATH": "/usr/bin:/bin", **alone}, check=False)
        assert expected in asked.read_text()
        asked.unlink()
    record_property("control", "a hub's client and curl are found out")


@needs_compiler
@pytest.mark.parametrize("drawn", [True, False], ids=["drawing", "without the extra"])
def test_the_demo_ends_well_and_names_every_outcome(
    tmp_path: Path,
    drawn: bool,
    alone: dict[str, str],
    record_property: Callable[[str, object], None],
) -> None:
    """`holdfast demo --once` exits 0; its table tells of every prompt what the provider did, how
    it ended and why; what it leaves behind is an archive like any other. What is lost is drawn
    where that can be, else it waits, and it is said what to install. Nothing of it asks anybody
    but this machine, for weights or anything else."""
    folder = tmp_path / "demo"
    environ = {"PATH": "/usr/bin:/bin", "COLUMNS": "250", "LANG": "C.UTF-8", **alone}
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
    assert not Path(alone["LOOPBACK_ONLY"]).exists(), Path(alone["LOOPBACK_ONLY"]).read_text()
    record_property("result", f"demo, {'drawing' if drawn else 'without'}: nobody else asked")
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
