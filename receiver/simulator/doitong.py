"""Doitong as one provider on the premises."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from receiver.simulator.api import Api
from receiver.simulator.cdn import Cdn
from receiver.simulator.links import Links
from receiver.simulator.premises import Premises
from receiver.simulator.studio import Studio


class Doitong:
    """The documented endpoints, signed webhooks and presigned links under `/outputs/`."""

    def __init__(self, premises: Premises, *, secret: bytes, api_key: str) -> None:
        links = Links(key=premises.randomness.randbytes(32))
        self._cdn = Cdn(
            "/outputs/",
            links,
            base_url=premises.base_url,
            slow_link_seconds=premises.pace.slow_link_seconds,
        )
        self._studio = Studio(premises, secret=secret, links=links, cdn=self._cdn, account=api_key)
        self._api = Api(self._studio, api_key=api_key)

    def routes(self) -> list[web.RouteDef]:
        """The API's and the CDN's."""
        return [*self._api.routes(), *self._cdn.routes()]

    def report(self) -> list[dict[str, Any]]:
        """What truly happened to each generation, oldest first."""
        return self._studio.report()
