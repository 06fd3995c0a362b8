"""A whole service amid all providers: customers submit through it, and webhooks come by a postman.

What torture and endurance have in common: every role but the one that draws, every provider that
there is, every bad day that ends by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import ClientSession

from receiver.simulator import Simulator
from tests.service import SECRET, Service, from_simulator, running
from tests.torture.customers import KEYS, Customers
from tests.torture.postman import Postman, working

TOKEN = "rule-0123456789"
SLOW_SECONDS = 0.5
ASK = "query($id: ID!) { generation(id: $id) { id status url } }"


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """The service, who submits through it, who brings webhooks to it, and what truly happened."""

    service: Service
    simulator: Simulator
    postman: Postman
    customers: Customers

    async def came_in(self) -> None:
        """Returns once every picture is drawn that was asked for, and every webhook delivered."""
        await self.simulator.idle()
        await self.postman.delivered()


@asynccontextmanager
async def inhabited(
    folder: Path,
    *,
    seed: int,
    heard: Callable[[], None] = lambda: None,
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[House]:
    """A house in that folder, until it is left; whoever leaves it has ended the service.

    `heard` is called upon each acknowledgement; `env` is the service's.
    """
    chance = Random(seed)
    async with (
        working(chance, heard) as postman,
        Simulator(
            SECRET.encode(),
            api_key=KEYS["main"],
            drawing_seconds=0,
            late_seconds=1.0,
            slow_link_seconds=SLOW_SECONDS,
            troubled_queries=1,
            random_seed=seed,
            events_url=f"{postman.url}/webhooks/dashscope",
            events_token=TOKEN,
        ) as simulator,
        ClientSession() as client,
    ):
        own = {"HOLDFAST_PUBLIC_URL": postman.url, "HOLDFAST_LISTEN__GATEWAY": "127.0.0.1:0"}
        with running(folder, env=own | dict(env or {}), **_tables(simulator.base_url)) as service:
            postman.port = service.public
            customers = Customers(
                gateway=f"http://{service.logged('listening')['gateway']}/gateway",
                client=client,
                heard=heard,
            )
            yield House(service=service, simulator=simulator, postman=postman, customers=customers)
            assert await asyncio.to_thread(service.stop) == 0


def _tables(base_url: str) -> dict[str, Mapping[str, object]]:
    """The configuration: all providers behind the gateway, and none told to be patient."""
    api: dict[str, Any] = {
        "base_url": base_url,
        "gateway": True,
        "download_hosts": ["127.0.0.1"],
        "asks_per_second": 1000.0,
    }
    return {
        "listen": {"failures_per_minute": 1_000_000},
        "archive": {"patience_seconds": 0.5, "derives": 2},
        "egress": from_simulator(base_url),
        "providers_doitong": api | {"status_query": ASK},
        "providers_doitong_keys": KEYS,
        "providers_modelslab": api,
        "providers_modelslab_keys": KEYS,
        "providers_modelslab_secrets": {"main": SECRET},
        "providers_dashscope": api | {"events": True, "certificate_hosts": ["127.0.0.1"]},
        "providers_dashscope_keys": KEYS,
        "providers_dashscope_secrets": {"rule": TOKEN},
    }
