"""Answers to webhooks: counted, and for the common case written as one ready string of bytes.

aiohttp's own response builds, merges and serialises headers anew for each request, which costs as
much as verifying and storing it. An answer here is the same bytes each time but for the date.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from archiver.metrics import DELIVERIES, LAST_VERIFIED

# What the metrics call each answer; the README's table says what they mean.
RESULTS = {
    200: "known",
    202: "stored",
    400: "broken",
    401: "refused",
    404: "unknown",
    408: "slow",
    413: "too_large",
    429: "throttled",
    503: "unavailable",
}
_VERIFIED = frozenset({200, 202})


class Answers:
    """Gives the answers of one process's webhooks; `sources`: whose they may be.

    Counts reach the metrics a second later, so a process that is killed takes its last second's
    along.
    """

    def __init__(self, now: Callable[[], datetime], sources: Iterable[str] = ()) -> None:
        self._now = now
        for source in sources:
            for result in RESULTS.values():
                DELIVERIES.labels(source, result)  # a rise is seen only of what was there before
        self._given: Counter[tuple[str, int]] = Counter()
        self._ready: dict[tuple[int, str], _Ready] = {}
        self._draining = False

    def drain(self) -> None:
        """From now on each answer says that it is the last of its connection."""
        self._draining = True

    def give(
        self,
        request: web.BaseRequest,
        source: str,
        status: int,
        text: str,
        *,
        retry_after: int | None = None,
        close: bool = False,
    ) -> web.StreamResponse:
        """An answer of `text`, counted under `source`; `close` leaves the rest of a body unread."""
        self._count(source, status)
        close = close or self._draining
        plain = not close and retry_after is None
        if plain and request.keep_alive and request.version == HttpVersion11:
            return self._ready.get((status, text)) or self._make_ready(status, text)
        headers = {"Retry-After": str(retry_after)} if retry_after is not None else None
        response = web.Response(status=status, text=f"{text}\n", headers=headers)
        if close:
            # What is left of the body must not be read as the next request.
            response.force_close()
        return response

    def tell(self) -> None:
        """Adds what was given to the metrics, and lets the next answers be of a new date."""
        for (source, status), count in self._given.items():
            DELIVERIES.labels(source, RESULTS[status]).inc(count)
            if status in _VERIFIED:
                LAST_VERIFIED.labels(source).set(self._now().timestamp())
        self._given.clear()
        self._ready.clear()

    def _count(self, source: str, status: int) -> None:
        if not self._given:  # once a second at most: a shared counter costs a system call
            asyncio.get_running_loop().call_later(1.0, self.tell)
        self._given[source, status] += 1

    def _make_ready(self, status: int, text: str) -> _Ready:
        wire = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(text) + 1}\r\n"
            f"Date: {format_datetime(self._now(), usegmt=True)}\r\n\r\n{text}\n"
        )
        ready = self._ready[status, text] = _Ready(status, wire.encode())
        return ready


class _Ready(web.StreamResponse):
    """A response that is its bytes and nothing else, and so may be given any number of times."""

    def __init__(self, status: int, wire: bytes) -> None:
        super().__init__(status=status)
        self._wire = wire

    @property
    def keep_alive(self) -> bool | None:
        """The connection stays open; any other is answered by aiohttp's own response."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Writes the whole answer."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the sender has gone")
        transport.write(self._wire)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""
