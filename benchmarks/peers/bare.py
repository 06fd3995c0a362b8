"""A bare aiohttp handler: reads the body and stores nothing. What a receiver can at most reach."""

import sys

import uvloop
from aiohttp import web


async def handle(request: web.Request) -> web.Response:
    """Reads, and answers."""
    await request.read()
    return web.Response(status=202, text="stored\n")


def main() -> None:
    """Serves on the port given."""
    app = web.Application()
    app.add_routes([web.post("/webhooks/doitong", handle)])
    loop = uvloop.new_event_loop()
    web.run_app(
        app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=loop
    )


if __name__ == "__main__":
    main()
