"""A bare reverse proxy of aiohttp's: passes requests on and keeps nothing."""

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web

OF_THE_HOP = {"connection", "host", "content-length", "transfer-encoding"}


async def main() -> None:
    """Serves on the first port given, in front of the second."""
    port, upstream = sys.argv[1:]
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)

    async def handle(request: web.BaseRequest) -> web.Response:
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in OF_THE_HOP
        }
        path = request.raw_path.removeprefix("/gateway/dashscope")
        async with session.request(
            request.method,
            f"http://127.0.0.1:{upstream}{path}",
            headers=headers,
            data=await request.read(),
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            passed = [it for it in answer.headers.items() if it[0].lower() not in OF_THE_HOP]
            return web.Response(status=answer.status, headers=dict(passed), body=body)

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(port), backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
