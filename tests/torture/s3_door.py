"""A door before an S3 server, to be shut while others knock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO

from aiohttp import ClientSession, DummyCookieJar, web
from yarl import URL

# What an S3 server says that cannot, and how; "" is one that is not there at all.
ERRORS = {"": 0, "InternalError": 500, "ServiceUnavailable": 503, "SlowDown": 503}
_OF_ONE_CONNECTION = {"Connection", "Date", "Server", "Transfer-Encoding"}


class Door:
    """The way to an S3 server, which can be shut, by an error of S3's or without a word.

    While it `lies`, whatever is put is as good as stored, and is not.
    """

    lies = False

    def __init__(self, endpoint: str, session: ClientSession) -> None:
        self._endpoint, self._session = endpoint, session
        self._error, self._port = "", 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The server's address on this side."""
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Lets everybody through again."""
        self._error = ""
        if self._runner is None:
            application = web.Application(client_max_size=2**26)
            application.router.add_route("*", "/{anything:.*}", self._pass_on)
            self._runner = web.AppRunner(application, shutdown_timeout=0, access_log=None)
            await self._runner.setup()
            await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
            self._port = self._runner.addresses[0][1]

    async def shut(self, error: str = "") -> None:
        """Answers with that error, or refuses to be connected to without one."""
        self._error = error
        if self._runner is not None and not error:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        if self._error:
            text = f"<Error><Code>{self._error}</Code></Error>"
            kind = "application/xml"
            return web.Response(status=ERRORS[self._error], text=text, content_type=kind)
        if self.lies and request.method == "PUT":
            await request.read()
            return web.Response(headers={"ETag": '"0"'})
        url = URL(self._endpoint + request.raw_path, encoded=True)
        body = BytesIO(await request.read())
        asked = self._session.request(request.method, url, headers=request.headers, data=body)
        async with asked as said:
            kept = {
                name: value
                for name, value in said.headers.items()
                if name not in _OF_ONE_CONNECTION
            }
            return web.Response(status=said.status, body=await said.read(), headers=kept)


@asynccontextmanager
async def door_before(endpoint: str) -> AsyncIterator[Door]:
    """A door that stands open, before the server at that address."""
    async with ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False) as session:
        door = Door(endpoint, session)
        await door.open()
        try:
            yield door
        finally:
            await door.shut()
