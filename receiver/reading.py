"""Reading a request's body to its end, and no further than is allowed."""

from __future__ import annotations

from aiohttp import web


async def gather(request: web.BaseRequest, max_bytes: int) -> bytes | None:
    """The whole body, or None as soon as it is, or says that it will be, larger than allowed."""
    if (request.content_length or 0) > max_bytes:
        return None
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            return None
    return bytes(body)
