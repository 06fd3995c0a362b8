"""The public application: webhooks and signs of life, and nothing else."""

from __future__ import annotations

from aiohttp import HttpVersion11, web

from receiver.readiness import Readiness
from receiver.webhook import Webhook


def public_app(webhook: Webhook, readiness: Readiness) -> web.Application:
    """The application of the public listener; `client_max_size` also caps chunked bodies."""
    app = web.Application(client_max_size=webhook.max_body_bytes)
    # A path without a variable is found without a search; the last one is for what is unknown.
    for source in (*webhook.verifiers, "{source}"):
        path = f"/webhooks/{source}"
        app.router.add_post(path, webhook.handle, expect_handler=_bid_go_on)
    app.add_routes(readiness.routes())
    return app


async def _bid_go_on(request: web.Request) -> None:
    """Answers `Expect: 100-continue`; aiohttp's own handler fails on some other expectations."""
    waits = request.headers["Expect"].lower() == "100-continue"
    if waits and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The interim answer is no part of the answer.
        request.writer.output_size = 0
