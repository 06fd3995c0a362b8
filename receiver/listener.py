"""Serving an application on a socket that somebody else has bound, within limits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import web
from aiohttp.typedefs import Handler

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\n"
)

# For what is left once every request under way was waited for.
_GOODBYE_SECONDS = 1.0


class _Refusal(asyncio.Protocol):
    """Answers a connection beyond the cap without reading it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_FULL)
        transport.close()


class _UnderWay:
    """Counts the requests that are being answered, so that the end can wait for them."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    @web.middleware
    async def counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware to put around everything else."""
        self._count += 1
        self._none.clear()
        try:
            return await handler(request)
        finally:
            self._count -= 1
            if not self._count:
                self._none.set()

    async def finished(self, *, patience_seconds: float) -> None:
        """Returns once there are none, or patience has ended."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._none.wait(), patience_seconds)


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
    under_way = _UnderWay()
    app.middlewares.insert(0, under_way.counted)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=keepalive_seconds,
        shutdown_timeout=_GOODBYE_SECONDS,
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
        # aiohttp's own shutdown stops reading at once, in the middle of whatever body.
        await under_way.finished(patience_seconds=drain_seconds)
        await runner.cleanup()
