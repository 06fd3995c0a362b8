"""The private application: the archive's API, work for renderers, remembered requests, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST

from archiver.errors import InboxUnavailableError, UnreadableError
from archiver.inbox import InboxWriter, Recorded
from archiver.web.answers import problem, problems, revalidated
from receiver.providers import PROVIDERS
from receiver.readiness import Readiness
from receiver.remembered import remembered

MAX_REQUEST_BYTES = 1 << 20
MAX_ID_LENGTH = 500

_JOBS = "/api/v1/jobs/"


class Remembered:
    """`PUT /api/v1/generations/{provider}/{id}`: a generation that was submitted elsewhere.

    A webhook carries no prompt; whoever submitted tells us here what was asked for. It enters by
    an inbox like all else, so it may come before, after, or twice.
    """

    def __init__(self, inbox: InboxWriter, *, now: Callable[[], datetime]) -> None:
        self._inbox = inbox
        self._now = now

    async def put(self, request: web.Request) -> web.Response:
        """Answers 202 once it is durable, 200 if it was known, 400 if it cannot be understood."""
        name, generation_id = request.match_info["provider"], request.match_info["id"]
        if name not in PROVIDERS:
            return problem(404, f"no provider is called {name!r}; known: {', '.join(PROVIDERS)}")
        if len(generation_id) > MAX_ID_LENGTH:
            return problem(400, f"a generation's id has at most {MAX_ID_LENGTH} characters")
        try:
            delivery = remembered(
                name,
                generation_id,
                await request.read(),
                request_type=request.headers.get("Content-Type", ""),
                by="private listener",
                peer=request.remote or "",
                now=self._now(),
            )
        except UnreadableError as error:
            return problem(400, str(error))
        try:
            recorded = await self._inbox.append(delivery)
        except InboxUnavailableError as error:
            return problem(503, str(error))
        known = recorded is Recorded.DUPLICATE
        return web.Response(status=200 if known else 202, text="known\n" if known else "stored\n")


async def _for_our_own_pages(_request: web.Request, response: web.StreamResponse) -> None:
    """No answer is taken for what it is not, into another's page, or for another's.

    What says nothing of itself does nothing in a browser and is kept by nobody.
    """
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; sandbox")
    response.headers.setdefault("Cache-Control", "no-store")
    if not response.headers["Cache-Control"].startswith("public"):
        response.headers.add("Vary", "Authorization, Cookie")


def _whole_bodies(read_seconds: float) -> Middleware:
    """The middleware that reads a body before anybody waits for it, but a picture's, which streams.

    Whoever sends it slowly, or broken, would hold a connection for as long as it pleases.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(_JOBS) and request.path.endswith("/content"):
            return await handler(request)
        try:
            async with asyncio.timeout(read_seconds):
                await request.read()
        except TimeoutError:
            refused = problem(408, "the body came too slowly")
        except (web.RequestPayloadError, ConnectionError, ValueError):
            refused = problem(400, "the body is broken")
        else:
            return await handler(request)
        refused.force_close()
        return refused

    return check


def private_app(
    *,
    archive: Iterable[web.RouteDef],
    remembered: Remembered,
    readiness: Readiness,
    guard: Middleware,
    metrics: Callable[[], bytes],
    around: Iterable[Middleware] = (),
    read_seconds: float = 10.0,
) -> web.Application:
    """The application of the private listener; `archive` is what the archive has to offer.

    `around` goes around all, what the guard refuses too. A body is waited for `read_seconds`.
    """

    async def show_metrics(_request: web.Request) -> web.Response:
        body = await asyncio.to_thread(metrics)  # it counts whole tables
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    middlewares = [*around, guard, problems, revalidated, _whole_bodies(read_seconds)]
    app = web.Application(client_max_size=MAX_REQUEST_BYTES, middlewares=middlewares)
    app.on_response_prepare.append(_for_our_own_pages)
    app.add_routes(
        [
            *archive,
            *readiness.routes(),
            web.put("/api/v1/generations/{provider}/{id:[^/]+}", remembered.put),
            web.get("/metrics", show_metrics),
        ]
    )
    return app
