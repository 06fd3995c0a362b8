"""The front door: a page for whoever opens it in a browser, and the report of everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from receiver.simulator.premises import Provider
from receiver.simulator.welcome import welcome_page


class Front:
    """Speaks for all providers of one simulator."""

    def __init__(self, providers: Sequence[Provider], *, base_url: str, api_key: str) -> None:
        self._providers = providers
        self._page = welcome_page(base_url, api_key)

    def routes(self) -> list[web.RouteDef]:
        """What the front door answers for itself."""
        return [web.get("/", self._welcome), web.get("/simulator/report", self._report)]

    def report(self) -> list[dict[str, Any]]:
        """What truly happened, provider by provider."""
        return [row for provider in self._providers for row in provider.report()]

    async def _welcome(self, _: web.Request) -> web.Response:
        return web.Response(text=self._page)

    async def _report(self, _: web.Request) -> web.Response:
        return web.json_response(self.report())
