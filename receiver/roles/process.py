"""What the roles of this wing are told, beside what every role's process does (`process`)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import msgspec

from archiver import log, process
from archiver.process import DRAIN_SECONDS
from receiver.sections import secrets_of
from receiver.settings import Config

__all__ = ["DRAIN_SECONDS", "Orders", "Run", "main"]


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What the parent tells a role: the whole configuration and the sockets it has bound."""

    config: Config
    sockets: dict[str, int] = {}

    def socket(self, name: str) -> socket.socket:
        """The listening socket of that name, held open by the parent."""
        return socket.socket(fileno=self.sockets[name])


Run = Callable[[Orders, asyncio.Event, Callable[[], None]], Awaitable[None]]


def main(role: str, run: Run) -> None:
    """Runs a role until it is told to stop (`archiver.process`); its log holds no secret."""

    async def discreetly(orders: Orders, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        log.conceal(secrets_of(orders.config))
        await run(orders, stop, ready)

    process.main(role, Orders, discreetly)
