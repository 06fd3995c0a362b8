"""The connection that dies before its answer."""

from aiohttp import web


def hang_up(request: web.Request) -> web.Response:
    """Close the client's connection at once; the response returned is never seen."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
