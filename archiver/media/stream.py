"""The bytes a walk reads: chunks come as they come, the walk asks as it likes.

A walk is a generator. It waits for a chunk whenever it has used up the last one, and is sent an
empty one at the end. While it waits it holds no chunk, so a buffer may be used again as soon as
it was fed.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

from fastcrc.crc32 import iso_hdlc

from archiver.media.verdict import FlawError
from archiver.models import Fault

T = TypeVar("T")
Steps: TypeAlias = Generator[None, memoryview, T]

_NOTHING = memoryview(b"")


class Stream:
    """A cursor over the bytes; `take`, `skip` and `crc32` raise FlawError where they end early."""

    def __init__(self) -> None:
        self._unread = _NOTHING
        self._ended = False

    def peek(self, size: int) -> Steps[bytes]:
        """The next `size` bytes without reading them; fewer only where the stream ends."""
        while len(self._unread) < size and not self._ended:
            yield from self._receive()
        return bytes(self._unread[:size])

    def piece(self) -> Steps[memoryview]:
        """All that is at hand, and nothing only where the stream ends.

        It is the feeder's own buffer: let go of it before the next wait.
        """
        if not (self._unread or self._ended):
            yield from self._receive()
        piece, self._unread = self._unread, _NOTHING
        return piece

    def take(self, size: int) -> Steps[bytes]:
        """Exactly the next `size` bytes, in memory: for headers, not for pictures."""
        taken = yield from self.peek(size)
        if len(taken) < size:
            raise _cut_short()
        self._unread = self._unread[size:]
        return taken

    def skip(self, size: int) -> Steps[None]:
        """Read `size` bytes and forget them."""
        while size > len(self._unread):
            size -= len(self._unread)
            yield from self._next_chunk()
        self._unread = self._unread[size:]

    def crc32(self, size: int, crc: int) -> Steps[int]:
        """Read `size` bytes into the checksum `crc`, forget them and return it."""
        while size > len(self._unread):
            size -= len(self._unread)
            crc = iso_hdlc(self._unread, crc)
            yield from self._next_chunk()
        crc = iso_hdlc(self._unread[:size], crc)
        self._unread = self._unread[size:]
        return crc

    def _next_chunk(self) -> Steps[None]:
        """Forget what is unread and wait for more."""
        self._unread = _NOTHING
        if not self._ended:
            yield from self._receive()
        if self._ended:
            raise _cut_short()

    def _receive(self) -> Steps[None]:
        """Wait for a chunk and put it behind what is unread, which is a header's part at most."""
        unread, self._unread = bytes(self._unread), _NOTHING
        chunk = yield
        self._ended = not chunk
        self._unread = memoryview(unread + chunk) if unread else chunk


def _cut_short() -> FlawError:
    return FlawError(Fault.SHORT, "the bytes end in the middle of the picture or video")
