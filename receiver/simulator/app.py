"""The simulator as one thing to start and stop: a socket, the providers behind it, one client."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from receiver.simulator.accounts import Accounts
from receiver.simulator.dashscope import DashScope
from receiver.simulator.deliveries import delivery_session
from receiver.simulator.doitong import Doitong
from receiver.simulator.front import Front
from receiver.simulator.modelslab import ModelsLab
from receiver.simulator.premises import Pace, Premises, Provider
from receiver.simulator.work import Work

_GOODBYE_SECONDS = 0.2


class Simulator:
    """Practice providers, alive inside `async with`; `port` 0 takes any free one.

    Doitong: `secret` signs the webhooks and `api_key` is what clients must show. The others take
    each key of `api_keys` as an account (without any, every key but `wrong`).

    DashScope: events go to `events_url`, if there is one, with `events_token`, and hold the task's
    output if `events_contain_result`; `queries_per_second` is how many status queries an account
    may make, as many as it likes by default.

    `link_life_seconds` is how long a link works, and an ended task is remembered for
    `task_life_seconds`, or for `purge_seconds` under the fault `purged`. `late_seconds` and
    `slow_link_seconds` are what the faults of those names cost, and `troubled_queries` is how many
    status queries `throttled` and `html_status` spoil. A `random_seed` makes ids and links'
    signatures repeatable.
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
        purge_seconds: float = 2.0,
        task_life_seconds: float = 86400,
        troubled_queries: int = 3,
        api_keys: Sequence[str] = (),
        events_url: str | None = None,
        events_token: str = "practice",  # noqa: S107 (a word to practise with)
        events_contain_result: bool = False,
        queries_per_second: int | None = None,
    ) -> None:
        self._secret = secret
        self._address = (host, port)
        self._api_key = api_key
        self._random_seed = random_seed
        self._pace = Pace(
            drawing_seconds=drawing_seconds,
            link_life_seconds=link_life_seconds,
            late_seconds=late_seconds,
            slow_link_seconds=slow_link_seconds,
            purge_seconds=purge_seconds,
            task_life_seconds=task_life_seconds,
            troubled_queries=troubled_queries,
        )
        self._accounts = Accounts(keys=frozenset(api_keys))
        self._events_url = events_url
        self._events_token = events_token
        self._events_contain_result = events_contain_result
        self._queries_per_second = queries_per_second
        self.base_url = ""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            listener = stack.enter_context(_listen(*self._address))
            self.base_url = _base_url(listener)
            self._work = Work()
            premises = Premises(
                base_url=self.base_url,
                # Practice ids and links may be guessed; that they can be repeated is worth more.
                randomness=Random(self._random_seed),  # noqa: S311
                session=await stack.enter_async_context(delivery_session()),
                work=self._work,
                accounts=self._accounts,
                pace=self._pace,
            )
            stack.push_async_callback(self._work.close)
            providers = self._providers(premises)
            self._front = Front(providers, base_url=self.base_url, api_key=self._api_key)
            runner = web.AppRunner(
                _application(self._front, *providers),
                access_log=None,
                shutdown_timeout=_GOODBYE_SECONDS,
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

        Keys: provider, id, account, prompt, faults, state, pictures (one per slot: {sha256: hex of
        the true picture or None, downloads: how many bodies were served whole}) and
        webhook_attempts ({says, answered}: the status in the body and the HTTP answer, or None).
        Doitong, which has one picture each, says sha256 and downloads at the top, too.
        """
        return self._front.report()

    async def idle(self) -> None:
        """Return once every picture is drawn and every wanted webhook delivered or given up."""
        await self._work.idle()

    def _providers(self, premises: Premises) -> list[Provider]:
        return [
            Doitong(premises, secret=self._secret, api_key=self._api_key),
            DashScope(
                premises,
                events_url=self._events_url,
                events_token=self._events_token,
                events_contain_result=self._events_contain_result,
                queries_per_second=self._queries_per_second,
            ),
            ModelsLab(premises),
        ]


def _application(*rooms: Front | Provider) -> web.Application:
    application = web.Application()
    for room in rooms:
        application.add_routes(room.routes())
    return application


def _listen(host: str, port: int) -> socket.socket:
    # Bound before anything else is made, because links need the port.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def _base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
