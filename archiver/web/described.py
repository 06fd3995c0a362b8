"""`GET /openapi.json`: every route of the private listener that machines use, written by hand."""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web

DOCUMENT = files("archiver.web").joinpath("openapi.json").read_bytes()


def described() -> list[web.RouteDef]:
    """What to mount."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=DOCUMENT, content_type="application/json")

    return [web.get("/openapi.json", answer)]
