"""Stands where `archiver.deriving.picture` stands: does what a picture's bytes say, to its process.

What a picture says after "then" is done when it comes again. What goes well tells whose doing it
was: the process is the preview's width, its niceness the height, its address space the hash.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from archiver.deriving.messages import Made, Refused


def make(path: Path) -> Made | Refused:
    first, _, then = path.read_text().partition(", then ")
    seen = path.with_suffix(".seen")
    act = then if seen.exists() else first
    seen.touch()
    try:
        _ACTS[act]()
    except MemoryError:
        return Refused(reason="out of memory")
    memory_bytes, _ = resource.getrlimit(resource.RLIMIT_AS)
    return Made(webp=b"", width=os.getpid(), height=os.nice(0), phash=memory_bytes)


def _hang() -> None:
    time.sleep(3600)


def _print() -> None:
    print("this is for nobody")
    sys.stdout.flush()
    os.write(1, b"nor this\n")


_ACTS: dict[str, Callable[[], object]] = {
    "": lambda: None,
    "exit": lambda: os._exit(3),
    "crash": lambda: ctypes.string_at(0),
    "be killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": _hang,
    "hoard": lambda: bytearray(1 << 30),
    "print": _print,
    "look for secrets": lambda: os._exit(3) if "AWS_SECRET_ACCESS_KEY" in os.environ else None,
    "wait": lambda: time.sleep(0.05),
}
