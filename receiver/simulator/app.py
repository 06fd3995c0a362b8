"""The simulator as one thing to start and stop: a socket, the rooms behind it, one HTTP client."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from receiver.simulator.api import Api
from receiver.simulator.cdn import Cdn
from receiver.simulator.links import Links
from receiver.simulator.studio import Studio
from receiver.simulator.webhooks import delivery_session

_GOODBYE_SECONDS = 0.2


class Simulator:
    """A practice provider, alive inside `async with`; `port` 0 takes any free one.

    `secret` signs the webhooks and `api_key` is what clients must show. `link_life_seconds` is how
    long a link works, `late_seconds` and `slow_link_seconds` are what the faults of those names
    cost. A `random_seed` makes ids and link signatures repeatable; pictures always are.
    """

    def __init__(
        self,
        secret: bytes,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str = "practice",
        drawing_seconds: float = 0.3,
        link_life_seconds: float = 86400,
        random_seed: int | None = None,
        *,
        late_seconds: float = 3.0,
        slow_link_seconds: float = 10.0,
    ) -> None:
        self._secret = secret
        self._address = (host, port)
        self._api_key = api_key
        self._drawing_seconds = drawing_seconds
        self._link_life_seconds = link_life_seconds
        self._random_seed = random_seed
        self._late_seconds = late_seconds
        self._slow_link_seconds = slow_link_seconds
        self.base_url = ""

    async def __aenter__(self) -> Self:
        # Practice ids and practice links may be guessed; that they can be repeated is worth more.
        randomness = Random(self._random_seed)  # noqa: S311
        links = Links(key=randomness.randbytes(32))
        async with AsyncExitStack() as stack:
            listener = stack.enter_context(_listen(*self._address))
            self.base_url = _base_url(listener)
            self._studio = Studio(
                base_url=self.base_url,
                secret=self._secret,
                session=await stack.enter_async_context(delivery_session()),
                links=links,
                randomness=randomness,
                drawing_seconds=self._drawing_seconds,
                late_seconds=self._late_seconds,
                link_life_seconds=self._link_life_seconds,
            )
            stack.push_async_callback(self._studio.close)
            runner = web.AppRunner(
                self._application(links), access_log=None, shutdown_timeout=_GOODBYE_SECONDS
            )
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.SockSite(runner, listener).start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def report(self) -> list[dict[str, Any]]:
        """What truly happened, one entry per generation, as `GET /simulator/report` says it.

        Keys: id, prompt, faults, state, sha256 (hex, of the true picture, or None), downloads (how
        many bodies were served whole), webhook_attempts ({says, answered}: the status in the body
        and the HTTP answer, or None).
        """
        return self._studio.report()

    async def idle(self) -> None:
        """Return once every picture is drawn and every wanted webhook delivered or given up."""
        await self._studio.idle()

    def _application(self, links: Links) -> web.Application:
        api = Api(self._studio, base_url=self.base_url, api_key=self._api_key)
        cdn = Cdn(self._studio, links, slow_link_seconds=self._slow_link_seconds)
        application = web.Application()
        application.add_routes([*api.routes(), *cdn.routes()])
        return application


def _listen(host: str, port: int) -> socket.socket:
    # Bound before anything else is made, because links need the port.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def _base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
