"""The public application: webhooks and signs of life, and nothing else."""

from __future__ import annotations

from aiohttp import web

from receiver.readiness import Readiness
from receiver.webhook import Webhook


def public_app(webhook: Webhook, readiness: Readiness) -> web.Application:
    """The application of the public listener; `client_max_size` also caps chunked bodies."""
    app = web.Application(client_max_size=webhook.max_body_bytes)
    app.add_routes([web.post("/webhooks/{source}", webhook.handle), *readiness.routes()])
    return app
