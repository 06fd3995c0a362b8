"""Serving an application on a socket that somebody else has bound, within limits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain
from typing import Any

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\n"
)

# Who still sends could not read why he was refused if he were cut off at once.
_LINGERING_SECONDS = 10.0

# For what is left once every request under way was waited for.
_GOODBYE_SECONDS = 1.0

# How long a connection that rests between two requests may bring one more at the end, whose answer
# says that it was the last. A request that meets a closed connection would go unanswered.
_PARTING_SECONDS = 0.5
_LOOK_SECONDS = 0.01


class _Refusal(asyncio.Protocol):
    """Answers a connection beyond the cap without reading it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_FULL)
        transport.close()


class _UnderWay:
    """Knows the requests that are being answered, so that the end can wait for them."""

    def __init__(self, handler: Handler, max_connections: int) -> None:
        self._handler = handler
        self._max_connections = max_connections
        self._requests: dict[web.RequestHandler, web.BaseRequest] = {}
        self._answered: set[web.RequestHandler] = set()  # and now and then who has gone since
        self._ending = False
        self._last: asyncio.Event | None = None  # made by who waits for it

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The handler, while its connection is known to wait for it."""
        protocol = request.protocol
        self._requests[protocol] = request
        try:
            response = await self._handler(request)
            if self._ending:
                response.force_close()
            return response
        finally:
            del self._requests[protocol]
            self._answered.add(protocol)
            if len(self._answered) > 2 * self._max_connections:
                self._answered = {it for it in self._answered if it.transport is not None}
            if self._last is not None and not self._requests:
                self._last.set()

    def make_room(self, connections: Sequence[web.RequestHandler]) -> bool:
        """Cuts off one of those that have asked nothing, or not yet all of it; False: nobody has.

        The one that came first goes first, and who only keeps us waiting for a body the last. Who
        has ever been answered stays: he may be reading yet, or a proxy that asks again just now.
        """
        known = self._requests.keys() | self._answered
        silent = (one for one in connections if one not in known)
        for one in chain(silent, self._half_asked(connections)):
            if one.transport is not None and not one.transport.is_closing():
                one.transport.abort()
                return True
        return False

    def _half_asked(
        self, connections: Sequence[web.RequestHandler]
    ) -> Iterator[web.RequestHandler]:
        for one in connections:
            request = self._requests.get(one)
            if request is not None and not request.content.is_eof():
                yield one

    def end(self) -> None:
        """From now on each answer says that it is the last of its connection."""
        self._ending = True

    async def finished(self, *, patience_seconds: float) -> None:
        """Returns once there are none, or patience has ended."""
        self._last = asyncio.Event()
        if self._requests:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._last.wait(), patience_seconds)


@asynccontextmanager
async def listening(
    served: web.Application | Handler,
    bound: socket.socket,
    *,
    keepalive_seconds: float,
    max_connections: int,
    drain_seconds: float,
    max_line_bytes: int = 8190,
) -> AsyncIterator[None]:
    """Serves it on `bound` while inside; on the way out finishes the requests under way.

    A request whose first line has more than `max_line_bytes` is refused. Beyond `max_connections`
    whoever comes takes the place of one that has asked nothing; where all have, it is turned away.

    aiohttp's own keep-alive default of an hour would also be the patience with half a header; and
    who was refused amid his body is listened to no longer than who says nothing.
    The wire's bytes are what is signed, so nothing is decompressed.
    """
    runner = _runner(
        served,
        access_log=None,
        keepalive_timeout=keepalive_seconds,
        lingering_time=min(keepalive_seconds, _LINGERING_SECONDS),
        shutdown_timeout=_GOODBYE_SECONDS,
        auto_decompress=False,
        max_line_size=max_line_bytes,
    )
    await runner.setup()
    handler = runner.server
    assert handler is not None
    under_way = _UnderWay(handler.request_handler, max_connections)
    handler.request_handler = under_way.answer

    def protocol() -> asyncio.BaseProtocol:
        connections = handler.connections
        full = len(connections) >= max_connections
        return _Refusal() if full and not under_way.make_room(connections) else handler()

    factory: Callable[[], asyncio.BaseProtocol] = protocol
    server = await asyncio.get_running_loop().create_server(factory, sock=bound, backlog=1024)
    try:
        yield
    finally:
        server.close()
        under_way.end()
        with suppress(TimeoutError):
            await asyncio.wait_for(_all_gone(handler), min(_PARTING_SECONDS, drain_seconds))
        # aiohttp's own shutdown stops reading at once, in the middle of whatever body.
        await under_way.finished(patience_seconds=drain_seconds)
        await runner.cleanup()


async def _all_gone(server: web.Server) -> None:
    while server.connections:  # noqa: ASYNC110  the server tells nobody when its last one goes
        await asyncio.sleep(_LOOK_SECONDS)


def _runner(
    served: web.Application | Handler, *, shutdown_timeout: float, **limits: Any
) -> web.BaseRunner:
    if isinstance(served, web.Application):
        return web.AppRunner(
            served, handle_signals=False, shutdown_timeout=shutdown_timeout, **limits
        )
    return web.ServerRunner(web.Server(served, **limits), shutdown_timeout=shutdown_timeout)
