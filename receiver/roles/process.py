"""What the roles of this wing are told, beside what every role's process does (`process`)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import msgspec

from archiver import process
from archiver.process import DRAIN_SECONDS
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
    """Runs a role until it is told to stop (`archiver.process`)."""
    process.main(role, Orders, run)
