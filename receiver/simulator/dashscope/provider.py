"""DashScope as one provider on the premises."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from receiver.simulator.cdn import Cdn
from receiver.simulator.dashscope.api import Api
from receiver.simulator.dashscope.eventbridge import EventBridge
from receiver.simulator.dashscope.links import OssLinks
from receiver.simulator.dashscope.studio import Studio
from receiver.simulator.premises import Premises


class DashScope:
    """The documented endpoints under `/api/v1`, presigned links, and EventBridge if it is wanted.

    `events_url` is where EventBridge posts; without it there is none, and no certificate either.
    `queries_per_second` limits each account's status queries; the real limit is 20.
    """

    def __init__(
        self,
        premises: Premises,
        *,
        events_url: str | None,
        events_token: str,
        events_contain_result: bool,
        queries_per_second: int | None,
    ) -> None:
        links = OssLinks(key=premises.randomness.randbytes(32))
        self._cdn = Cdn(
            "/dashscope-result/",
            links,
            base_url=premises.base_url,
            slow_link_seconds=premises.pace.slow_link_seconds,
        )
        self._events = (
            EventBridge(
                premises, url=events_url, token=events_token, contain_result=events_contain_result
            )
            if events_url
            else None
        )
        self._studio = Studio(premises, links=links, cdn=self._cdn, events=self._events)
        self._api = Api(
            self._studio,
            premises.accounts,
            troubled_queries=premises.pace.troubled_queries,
            queries_per_second=queries_per_second,
        )

    def routes(self) -> list[web.RouteDef]:
        """The API's, the CDN's and the certificate's."""
        certificate = self._events.routes() if self._events else []
        return [*self._api.routes(), *self._cdn.routes(), *certificate]

    def report(self) -> list[dict[str, Any]]:
        """What truly happened to each task, oldest first."""
        return self._studio.report()
