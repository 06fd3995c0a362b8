"""A listener at every address of an island, that remembers who came to which."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from tests.archiver.media_bodies import drawn
from tests.archiver.name_server import PUBLIC, PUBLIC_6, NameServer, naming
from tests.archiver.ssrf_corpus import PORTS

_PUBLIC = frozenset({PUBLIC, PUBLIC_6})
_TLS = 443
# A connection is accepted a moment after whoever made it knows.
_MOMENT_SECONDS = 0.001


class Street:
    """Everybody's listeners; `met` are the addresses that somebody has connected to."""

    def __init__(self, names: NameServer, certificate: Path) -> None:
        self.names = names
        self.met: list[str] = []
        self._server = web.Server(_answer, access_log=None)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._tasks: set[asyncio.Task[None]] = set()

    async def met_since(self) -> tuple[list[str], int]:
        """Addresses inside that somebody has connected to since this was last asked.

        And how many connections there were to public ones.
        """
        await asyncio.sleep(_MOMENT_SECONDS)
        met, self.met = self.met, []
        inside = [address for address in met if address not in _PUBLIC]
        return inside, len(met) - len(inside)

    async def accept(self, listening: socket.socket) -> None:
        """Takes everybody in who comes there."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listening)
            address, port, *_ = connection.getsockname()
            self.met.append(address)
            task = loop.create_task(
                self._serve(connection, self._context if port == _TLS else None)
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            await loop.connect_accepted_socket(self._server, connection, ssl=context)


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    """A picture, or what `/to/<status>?to=<target>` wants."""
    _, _, status = request.path.rpartition("/to/")
    if status.isdigit():
        return web.Response(status=int(status), headers={"Location": request.query["to"]})
    picture = web.Response(body=drawn("PNG"), content_type="image/png")
    picture.force_close()  # so that whoever comes again is counted again
    return picture


@asynccontextmanager
async def street(folder: Path) -> AsyncIterator[Street]:
    """Everybody is at home, and the name server answers, while inside."""
    async with naming() as names:
        it = Street(names, folder / "everybody.pem")
        sockets = [
            socket.create_server((anywhere, port), family=family, backlog=1024)
            for port in (80, _TLS, *PORTS)
            for anywhere, family in (("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6))
        ]
        for bound in sockets:
            bound.setblocking(False)
        accepting = [asyncio.create_task(it.accept(bound)) for bound in sockets]
        try:
            yield it
        finally:
            for task in accepting:
                task.cancel()
            await asyncio.gather(*accepting, return_exceptions=True)
            for bound in sockets:
                bound.close()
