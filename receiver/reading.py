"""Reading a body to its end, and no further than is allowed."""

from __future__ import annotations

from contextlib import suppress

from aiohttp import HttpVersion11, StreamReader, web


async def gather(request: web.BaseRequest, max_bytes: int) -> bytes | None:
    """A request's whole body, or None as soon as it is, or says it will be, larger than allowed."""
    if (request.content_length or 0) > max_bytes:
        return None
    return await whole(request.content, max_bytes)


async def whole(content: StreamReader, max_bytes: int) -> bytes | None:
    """All of a body, or None as soon as it is larger than allowed."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            return None
    return bytes(body)


async def bid_go_on(request: web.BaseRequest) -> None:
    """Answers `Expect: 100-continue`; other expectations are ignored (RFC 9110 §10.1.1)."""
    waits = request.headers["Expect"].lower() == "100-continue"
    if waits and request.version == HttpVersion11:
        with suppress(ConnectionError):  # whoever has gone is told so by what is read of it next
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The interim answer is no part of the answer.
        request.writer.output_size = 0
