"""The process that decodes pictures: what one of them does to a process, it does to this one.

`pool` starts it, with the module that makes previews and the memory it may take, and speaks with it
(`messages`). That module is imported by name, once the process is prepared for it.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from archiver.deriving.messages import FromChild, Ready, line, order

_NICENESS = 19
_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Makes one preview after the other until the parent has no more orders, or has gone."""
    answers = _take_stdout()
    module, memory_bytes = sys.argv[1:]
    _prepare(int(memory_bytes))
    # Any: whatever is like `archiver.deriving.picture`.
    picture: Any = importlib.import_module(module)

    def say(message: FromChild) -> None:
        answers.write(line(message))
        answers.flush()

    with suppress(BrokenPipeError):  # the parent went before it could say so
        say(Ready())
        for said in sys.stdin.buffer:
            say(picture.make(Path(order.decode(said).path)))


def _take_stdout() -> BinaryIO:
    """The pipe to the parent, put where no library's print can reach it."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return pipe


def _prepare(memory_bytes: int) -> None:
    """Makes this a process that gives way to all others and never outlives its parent."""
    # A service manager may tell every process to end; this one is ended by its parent.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # others bound no address space
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        # The end of stdin would do, if every picture ever ended.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
