"""How often each object of a folder bucket was created, counted by the kernel: inotify(7)."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows


@contextmanager
def births(bucket: Path, heard: Callable[[], None]) -> Iterator[Counter[str]]:
    """Counts each time that a name of a blob came into the bucket, by that name, and calls `heard`.

    A second name for new bytes and a file moved over another are births alike. The folders are
    made beforehand, so that nothing happens in one that is not watched yet.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    events = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    for first in range(256):
        folder = bucket / "blobs" / "sha256" / f"{first:02x}"
        folder.mkdir(parents=True, exist_ok=True)
        watch = libc.inotify_add_watch(events, bytes(folder), _IN_CREATE | _IN_MOVED_TO)
        assert watch >= 0, os.strerror(ctypes.get_errno())
    counts: Counter[str] = Counter()
    loop = asyncio.get_running_loop()

    def count() -> None:
        counts.update(_names(events))
        heard()

    loop.add_reader(events, count)
    try:
        yield counts
    finally:
        loop.remove_reader(events)
        count()
        os.close(events)


def _names(events: int) -> Iterator[str]:
    try:
        heard = os.read(events, 1 << 16)
    except BlockingIOError:
        return
    start = 0
    while start < len(heard):
        watch, _, _, length = _EVENT.unpack_from(heard, start)
        assert watch >= 0, "more was created than the kernel would remember"
        start += _EVENT.size + length
        yield heard[start - length : start].rstrip(b"\0").decode()
