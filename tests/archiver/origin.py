"""A scripted origin on loopback: it answers each path with the very bytes it was given."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Script = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
_LENGTH = re.compile(r"^content-length: (\d+)", re.IGNORECASE | re.MULTILINE)


class Origin:
    """What it will answer, by path without query, and what it was asked, word for word.

    Several answers to one path are given in turn, the last one for ever.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.answers: dict[str, Script | list[Script]] = {}
        self.requests: list[str] = []
        self.bodies: list[bytes] = []

    def url(self, path: str, *, host: str | None = None) -> str:
        """The address of `path` here, by another name of the host if one is given."""
        return f"http://{host or self.host}:{self.port}{path}"


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a whole answer; header names are written with underscores."""
    fields = {"Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode() + body


@asynccontextmanager
async def serve_origin(host: str = "127.0.0.1") -> AsyncIterator[Origin]:
    """An origin on a free port."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await _answer_all(reader, writer, origin)
            finally:
                writer.close()
                await writer.wait_closed()

    conversations: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.add(asyncio.ensure_future(converse(reader, writer)))

    server = await asyncio.start_server(begin, host, 0)
    origin = Origin(host, server.sockets[0].getsockname()[1])
    try:
        yield origin
    finally:
        server.close()
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)


async def _answer_all(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, origin: Origin
) -> None:
    """Answer requests on one connection until a script, which has the last word."""
    while True:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        origin.requests.append(request)
        path = request.split(" ")[1].partition("?")[0]
        script = origin.answers.get(path, answer(404))
        if isinstance(script, list):
            script = script.pop(0) if len(script) > 1 else script[0]
        if not isinstance(script, bytes):
            await script(writer)
            return
        length = _LENGTH.search(request)
        origin.bodies.append(await reader.readexactly(int(length[1]) if length else 0))
        writer.write(script)
