"""Libraries in C that stand between a program and the kernel: built when wanted, by LD_PRELOAD."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_SOURCES = Path(__file__).parent

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None, reason="no C compiler: apt-get install gcc libc6-dev"
)


def preloaded(name: str, folder: Path) -> dict[str, str]:
    """The variables under which a program runs with `tests/NAME.c` before it, built in `folder`."""
    built = folder / f"{name}.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", built, _SOURCES / f"{name}.c", "-ldl"]
    subprocess.run(command, check=True)
    return {"LD_PRELOAD": str(built)}
