"""An engine without torch: draws a grey square, or does what its prompt says that none should.

With an `init_image`, it makes that file first; where it is there already the order was tried
before, and the engine does what the prompt says after "then", or draws. What goes wrong while it is
made, its device says.
"""

from __future__ import annotations

import ctypes
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from archiver.errors import ConfigError, HoldfastError
from fallback_renderer.notes import Note, unavailable
from fallback_renderer.request import RenderRequest
from fallback_renderer.settings import Engine as Settings


class OutOfMemoryError(HoldfastError):
    """As the real engine's."""


class CheckpointError(HoldfastError):
    """As the real engine's."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """As the real engine's."""

    png: bytes
    width: int
    height: int
    flagged: bool
    notes: tuple[Note, ...]


class Engine:
    """`device` begins with the process's id."""

    def __init__(self, settings: Settings) -> None:
        if settings.device in _BIRTH_DEFECTS:
            _BIRTH_DEFECTS[settings.device]()
        libraries = os.environ["OMP_NUM_THREADS"]
        self.device = (
            f"{os.getpid()} with {settings.thread_count} threads, {libraries} for libraries"
        )
        self.software = "grey squares 1.0"

    def draw(
        self,
        request: RenderRequest,
        *,
        init_image: Path | None = None,
        mask_image: Path | None = None,
        step: Callable[[int, int], None] = lambda done, total: None,
    ) -> Picture:
        first, _, then = request.prompt.partition(", then ")
        again = init_image is not None and init_image.exists()
        if init_image is not None:
            init_image.touch()
        if request.prompt == "load for ever":
            _hang()
        step(0, request.steps)
        _ACTS.get(then if again else first, lambda: None)()
        for done in range(request.steps):
            if request.prompt == "slowly":
                time.sleep(0.02)
            step(done + 1, request.steps)
        file = io.BytesIO()
        size = request.width, request.height
        Image.new("L", size, request.seed % 256).save(file, "PNG", compress_level=4)
        return Picture(
            png=file.getvalue(),
            width=request.width,
            height=request.height,
            flagged=request.prompt == "flag it",
            notes=(unavailable("scheduler", "squares need none"),),
        )


def _hang() -> None:
    print("this does not end", file=sys.stderr, flush=True)
    threading.Event().wait()


def _seize() -> None:
    """Hangs with the interpreter's lock in hand, as libraries in C do: no thread gets to run."""
    print("this does not end", file=sys.stderr, flush=True)
    ctypes.PyDLL(None).pause()


def _fork_and_hang() -> None:
    """The fork has the same pipes, and ends with its orders."""
    if os.fork() == 0:
        os.read(0, 1)
        os._exit(0)
    _hang()


def _hoard() -> None:
    """More than the tests allow, and less than would hurt if nobody kept it from that."""
    _ = [bytearray(1 << 28) for _ in range(16)]


def _babble() -> None:
    """Writes to every pipe it can find, the parent's among them."""
    for fd in range(3, 64):
        with suppress(OSError):
            os.write(fd, b'{"type": "Sonnet"}\n')
    _hang()


def _print() -> None:
    print("in Python", flush=True)
    os.write(1, b"in C\n")


def _raise(error: Exception) -> None:
    raise error


_ACTS: dict[str, Callable[[], object]] = {
    "exit": lambda: os._exit(3),
    "crash": lambda: ctypes.string_at(0),
    "be killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": _hang,
    "seize": _seize,
    "fork and hang": _fork_and_hang,
    "hoard": _hoard,
    "babble": _babble,
    "print": _print,
    "have no weights": lambda: _raise(CheckpointError("no weights: fetch them")),
    "want a certificate": lambda: _raise(ConfigError("render.credentials: it has expired")),
    "run out of memory": lambda: _raise(OutOfMemoryError("CUDA is out of memory")),
    "fail": lambda: _raise(KeyError("http://host/a?Signature=hush")),
}

_BIRTH_DEFECTS: dict[str, Callable[[], object]] = {
    "cuda:1": lambda: _raise(HoldfastError("there is no such device")),
    "cuda:2": lambda: _raise(ImportError("No module named 'torch'")),
    "cuda:3": lambda: os._exit(4),
    "cuda:4": lambda: _raise(KeyError("a bug")),
    "cuda:5": _hang,
}
