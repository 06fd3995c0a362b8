"""Reading a body to its end, and no further than is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from aiohttp import HttpVersion11, StreamReader, web

# Of each body so much may be held whatever the others do; hardly a webhook is larger.
_OWN_BYTES = 64 << 10


class NoRoomError(Exception):
    """Too much is held already of bodies that still come in."""


class Room:
    """So many bytes may be held of bodies that still come in, but for the beginning of each.

    Who sends many large ones, and none to its end, is refused before he fills the memory.
    """

    def __init__(self, total_bytes: int) -> None:
        self._left_bytes = total_bytes

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """One body's share; to be told how large it has become. Raises NoRoomError."""
        held_bytes = 0

        def hold(size_bytes: int) -> None:
            nonlocal held_bytes
            more_bytes = max(size_bytes - _OWN_BYTES, 0) - held_bytes
            if more_bytes > self._left_bytes:
                raise NoRoomError
            self._left_bytes -= more_bytes
            held_bytes += more_bytes

        try:
            yield hold
        finally:
            self._left_bytes += held_bytes


async def gather(
    request: web.BaseRequest, max_bytes: int, room: Room | None = None
) -> bytes | None:
    """A request's whole body, or None as soon as it is, or says it will be, larger than allowed.

    Raises NoRoomError where there is a `room`.
    """
    if (request.content_length or 0) > max_bytes:
        return None
    if room is None:
        return await whole(request.content, max_bytes)
    with room.share() as hold:
        return await whole(request.content, max_bytes, hold)


async def whole(
    content: StreamReader, max_bytes: int, hold: Callable[[int], None] = lambda _: None
) -> bytes | None:
    """All of a body, or None as soon as it is larger than allowed; `hold` is told its size."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            return None
        hold(len(body))
    return bytes(body)


async def bid_go_on(request: web.BaseRequest) -> None:
    """Answers `Expect: 100-continue`; other expectations are ignored (RFC 9110 §10.1.1)."""
    waits = request.headers["Expect"].lower() == "100-continue"
    if waits and request.version == HttpVersion11:
        with suppress(ConnectionError):  # whoever has gone is told so by what is read of it next
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The interim answer is no part of the answer.
        request.writer.output_size = 0
