"""A forward proxy of the test's own, which may judge where it leads, and tells what it was told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
_UNREACHED = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
_THROUGH = b"HTTP/1.1 200 Connected\r\n\r\n"


class Proxy:
    """Leads to wherever `permits` says of the address; `told` is what it was told to lead to."""

    def __init__(self, permits: Callable[[str], bool], *, refusal: bytes = REFUSED) -> None:
        self.told: list[tuple[str, int]] = []
        self.port = 0
        self._permits = permits
        self._refusal = refusal
        self._address: str | None = None

    def lead(self, address: str) -> None:
        """From now on every name leads there."""
        self._address = address

    @property
    def url(self) -> str:
        """What a client is to be told."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, from its request to its end."""
        with suppress(OSError, asyncio.IncompleteReadError):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, _ = head.decode("latin-1").split(" ", 2)
                parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
                host, port = parts.hostname or "", parts.port or 80
                self.told.append((host, port))
                await self._lead(host, port, b"" if method == "CONNECT" else head, reader, writer)
            finally:
                writer.close()

    async def _lead(
        self,
        host: str,
        port: int,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            address = self._address
            if address is None:
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                address = found[0][4][0]
            if not self._permits(address):
                writer.write(self._refusal)
                return
            there, back = await asyncio.open_connection(address, port)
        except (OSError, ValueError):
            writer.write(_UNREACHED)
            return
        if head:
            back.write(head)
        else:
            writer.write(_THROUGH)
        await asyncio.gather(_pass_on(there, writer), _pass_on(reader, back))


@asynccontextmanager
async def proxying(proxy: Proxy) -> AsyncIterator[Proxy]:
    """It serves on a free port while inside."""
    conversations: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(proxy.serve(reader, writer))
        conversations.add(task)
        task.add_done_callback(conversations.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while block := await reader.read(1 << 16):
            writer.write(block)
            await writer.drain()
    writer.close()
