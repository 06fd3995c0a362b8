"""HTTP spoken by hand, byte for byte, for what a polite client would never say."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

# A test that waits longer for a byte has failed.
PATIENCE_SECONDS = 20
SECRET = "whsec wire"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One HTTP answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Wire:
    """One connection; every wait on it is bounded by PATIENCE_SECONDS."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        """The next answer on this connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            pairs = (line.split(":", 1) for line in lines)
            headers = {name.lower(): value.strip() for name, value in pairs}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(status=int(status.split()[1]), headers=headers, body=body)

    async def rest(self) -> bytes:
        """All that comes until the other side closes the connection.

        Who is closed while still sending may be told so by a reset, and nothing comes after that.
        """
        heard = bytearray()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(ConnectionResetError):
                while block := await self.reader.read(1 << 16):
                    heard += block
        return bytes(heard)

    async def ask(self, data: bytes) -> Answer:
        """Sends these bytes and takes the answer."""
        await self.send(data)
        return await self.answer()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    """A connection to that port of this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


async def ask(port: int, data: bytes) -> Answer:
    """One request on a connection of its own."""
    async with connected(port) as wire:
        return await wire.ask(data)


async def closed_to_newcomers(port: int) -> None:
    """Returns once nobody listens on that port."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                return
            writer.close()


def signature(body: bytes, secret: str = SECRET) -> tuple[bytes, bytes]:
    """The documented header, made by code of its own."""
    digest = hmac.new(secret.encode(), body, "sha256").hexdigest()
    return b"X-Doitong-Signature", f"sha256={digest}".encode()


def head(
    *headers: tuple[bytes, bytes], method: bytes = b"POST", path: bytes = b"/webhooks/doitong"
) -> bytes:
    """A request up to the blank line; Host is always there."""
    lines = [b"%b: %b\r\n" % header for header in ((b"Host", b"127.0.0.1"), *headers)]
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, path, b"".join(lines))


def length(body: bytes) -> tuple[bytes, bytes]:
    """The Content-Length of a body."""
    return b"Content-Length", str(len(body)).encode()


def webhook(body: bytes, *headers: tuple[bytes, bytes], secret: str = SECRET) -> bytes:
    """A signed webhook."""
    return head(signature(body, secret), length(body), *headers) + body


def forged(body: bytes, *headers: tuple[bytes, bytes], path: bytes = b"/webhooks/doitong") -> bytes:
    """A webhook with these headers and no other signature."""
    return head(length(body), *headers, path=path) + body


def chunked(pieces: Iterable[bytes]) -> bytes:
    """A body in chunks (RFC 9112 §7.1), still without its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


LAST_CHUNK = b"0\r\n\r\n"
CHUNKED = (b"Transfer-Encoding", b"chunked")
EXPECTING = (b"Expect", b"100-continue")
