"""The public listener's answers: webhooks and signs of life, and nothing else.

A handler for aiohttp's low-level server: there is next to nothing to route, and a router with its
application around each request would cost as much as verifying and recording it.
"""

from __future__ import annotations

from aiohttp import web

from receiver.listener import Handler
from receiver.readiness import Readiness
from receiver.reading import bid_go_on
from receiver.webhook import Webhook

_WEBHOOKS = "/webhooks"
# Where the path ends in a token, because the provider signs nothing.
_TOKENED = {"/webhooks/modelslab": "modelslab"}


def public(webhook: Webhook, readiness: Readiness) -> Handler:
    """Answers `POST /webhooks/{source}`, `GET /healthz` and `GET /readyz`; 404 and 405 else."""
    signs = {"/healthz": readiness.healthz, "/readyz": readiness.readyz}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        place, _, last = request.path.rpartition("/")
        source = last if place == _WEBHOOKS else _TOKENED.get(place)
        if source and last:
            _require(request, "POST")
            if "Expect" in request.headers:
                await bid_go_on(request)
            return await webhook.handle(request, source)
        sign = signs.get(request.path)
        if sign is None:
            raise web.HTTPNotFound
        _require(request, "GET", "HEAD")
        return await sign(request)

    return answer


def _require(request: web.BaseRequest, *methods: str) -> None:
    if request.method not in methods:
        raise web.HTTPMethodNotAllowed(request.method, methods)
