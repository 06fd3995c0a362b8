"""Serving an application on a socket that somebody else has bound, within limits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\n"
)


class _Refusal(asyncio.Protocol):
    """Answers a connection beyond the cap without reading it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_FULL)
        transport.close()


@asynccontextmanager
async def listening(
    app: web.Application,
    bound: socket.socket,
    *,
    keepalive_seconds: float,
    max_connections: int,
    drain_seconds: float,
) -> AsyncIterator[None]:
    """Serves `app` on `bound` while inside; on the way out finishes the requests under way.

    aiohttp's own keep-alive default of an hour would also be the patience with half a header.
    The wire's bytes are what is signed, so nothing is decompressed.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=keepalive_seconds,
        shutdown_timeout=drain_seconds,
        auto_decompress=False,
    )
    await runner.setup()
    handler = runner.server
    assert handler is not None

    def protocol() -> asyncio.BaseProtocol:
        full = len(handler.connections) >= max_connections
        return _Refusal() if full else handler()

    factory: Callable[[], asyncio.BaseProtocol] = protocol
    server = await asyncio.get_running_loop().create_server(factory, sock=bound, backlog=1024)
    try:
        yield
    finally:
        server.close()
        await runner.cleanup()
