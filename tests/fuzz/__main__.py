"""One target under the fuzzer, in a process of its own; the exit code is libFuzzer's.

The rooms of the house are instrumented while they are imported, so nothing here may import them
before.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

from tests.fuzz.target import corpus, load

# A reader that takes so long for so few bytes hangs; one that takes so much is a bomb.
_LIMITS = ("-max_len=4096", "-timeout=20", "-rss_limit_mb=2048")


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["archiver", "receiver", "tests.fuzz.targets.planted"]):
        target = load(name)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    arguments = [*_LIMITS, f"-dict={words}", *options]
    if known := corpus(name):
        # A folder is read in the order of its disk, and what is tried next would depend on it.
        listed = folder / "known"
        listed.write_text(",".join(map(str, known)))
        arguments.append(f"-seed_inputs=@{listed}")
    atheris.Setup([str(_program(folder, name)), *arguments], target.law)
    atheris.Fuzz()


def _program(folder: Path, name: str) -> Path:
    """What libFuzzer starts to have its work gone on with in another process, as to merge."""
    program = folder / "fuzz"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.fuzz {name} "$@"\n')
    program.chmod(0o700)
    return program


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
