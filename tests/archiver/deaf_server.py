"""An S3 server that knows no conditional writes: a proxy to one that does, less the condition."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO

from aiohttp import ClientSession, DummyCookieJar, web
from yarl import URL

_REFUSAL = "<Error><Code>NotImplemented</Code></Error>"
_OF_ONE_CONNECTION = {"Connection", "Date", "Server", "Transfer-Encoding"}


@asynccontextmanager
async def serve_deaf(endpoint: str, *, refuses: bool = False) -> AsyncIterator[str]:
    """The endpoint of one before `endpoint`, that ignores If-None-Match or `refuses` it."""

    async def pass_on(request: web.Request) -> web.Response:
        headers = request.headers.copy()
        if headers.pop("If-None-Match", None) and refuses:
            return web.Response(status=501, text=_REFUSAL, content_type="application/xml")
        url = URL(endpoint + request.raw_path, encoded=True)
        body = BytesIO(await request.read())
        async with session.request(request.method, url, headers=headers, data=body) as answer:
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name not in _OF_ONE_CONNECTION
            }
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    application = web.Application(client_max_size=2**26)
    application.router.add_route("*", "/{anything:.*}", pass_on)
    runner = web.AppRunner(application, shutdown_timeout=0)
    async with ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False) as session:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        try:
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()
