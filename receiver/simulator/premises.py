"""What all providers of one simulator share, and what a provider is."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import aiohttp
from aiohttp import web

from receiver.simulator.accounts import Accounts
from receiver.simulator.work import Work


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How long things take, in seconds; `troubled_queries` counts status queries instead.

    `throttled` and `html_status` spoil the first `troubled_queries` queries of a generation, and
    `purged` makes the provider forget a generation `purge_seconds` after it ended, when otherwise
    it is remembered for `task_life_seconds`.
    """

    drawing_seconds: float = 0.3
    link_life_seconds: float = 86400
    late_seconds: float = 3.0
    slow_link_seconds: float = 10.0
    purge_seconds: float = 2.0
    task_life_seconds: float = 86400
    troubled_queries: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Premises:
    """The ground under every provider: an address, chance, a client, the work under way."""

    base_url: str
    randomness: Random
    session: aiohttp.ClientSession
    work: Work
    accounts: Accounts
    pace: Pace


class Provider(Protocol):
    """One provider on the premises."""

    def routes(self) -> list[web.RouteDef]:
        """Every path that it answers for, its pictures' links among them."""

    def report(self) -> list[dict[str, Any]]:
        """What truly happened to each of its generations, oldest first, as `reports` writes it."""
