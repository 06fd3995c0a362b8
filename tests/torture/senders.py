"""Polite clients: each keeps a connection or opens a new one, and counts what becomes of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from archiver.clock import monotonic
from tests.receiver.wire import Answer, Wire

# Longer than any start of a role; who waits longer has been forgotten.
PATIENCE_SECONDS = 60


@dataclass
class Tally:
    """What became of requests: each is answered, or refused a connection, or cut off unanswered."""

    answers: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    cut: int = 0
    slowest_seconds: float = 0.0

    @property
    def failed(self) -> int:
        """How many a sender had to send again."""
        faults = sum(count for status, count in self.answers.items() if status >= 500)
        return faults + self.refused + self.cut


class Sender:
    """One client. A connection that was closed between two requests is opened again, no harm done;
    one that is closed upon a request is a request cut off."""

    def __init__(self, port: int, tally: Tally, *, keeps_alive: bool) -> None:
        self._port = port
        self._tally = tally
        self._keeps_alive = keeps_alive
        self._wire: Wire | None = None
        self.opened_at = 0.0  # when the connection was asked for that carried the last request

    async def send(self, request: bytes) -> int | None:
        """The status of the answer, or None if there was none."""
        began = monotonic()
        try:
            wire = await self._connected()
        except ConnectionError:
            self._tally.refused += 1
            return None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await wire.ask(request)
        except (ConnectionError, asyncio.IncompleteReadError):
            self._tally.cut += 1
            self.close()
            return None
        self._tally.answers[answer.status] += 1
        self._tally.slowest_seconds = max(self._tally.slowest_seconds, monotonic() - began)
        if not self._keeps_alive or _is_last(answer):
            self.close()
        return answer.status

    def close(self) -> None:
        """Hangs up."""
        if self._wire is not None:
            self._wire.writer.close()
            self._wire = None

    async def _connected(self) -> Wire:
        if self._wire is not None and self._wire.reader.at_eof():
            self.close()
        if self._wire is None:
            self.opened_at = monotonic()
            self._wire = Wire(*await asyncio.open_connection("127.0.0.1", self._port))
        return self._wire


def _is_last(answer: Answer) -> bool:
    return answer.headers.get("connection", "").lower() == "close"


async def send_until(
    stop: asyncio.Event,
    sender: Sender,
    request: Callable[[int], bytes],
    chance: Random,
    *,
    pause_seconds: float,
) -> list[int]:
    """Sends one request after another, the same again until it is stored; the numbers of those.

    Between two it pauses for up to `pause_seconds`.
    """
    stored = []
    number = 0
    while not stop.is_set():
        status = await sender.send(request(number))
        if status in (200, 202):
            stored.append(number)
            number += 1
        await asyncio.sleep(chance.uniform(0, pause_seconds))
    sender.close()
    return stored
