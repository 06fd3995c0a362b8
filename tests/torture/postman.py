"""Between providers and a service: takes each webhook, and delivers it until it is settled.

A provider's own patience ends after some attempts; this one's does not, and now and then it
delivers once more what was taken already.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from random import Random

from aiohttp import web

from archiver.clock import monotonic
from tests.receiver.wire import head, length
from tests.torture.senders import Sender, Tally

CARRIERS = 32
AGAIN = 0.1
PAUSE_SECONDS = 0.05
TAKEN, FORGED = (200, 202), 401


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """One request: to which port, in which words, and the body by which it is known."""

    port: int
    request: bytes
    body: bytes
    again: bool = False


@dataclass(kw_only=True, slots=True)
class Stopwatch:
    """How long after each kill of the listener somebody is served who came after the kill."""

    took_seconds: list[float] = field(default_factory=list)
    _since: float | None = None

    def start(self) -> None:
        """The listener is killed now."""
        self._since = monotonic()

    def runs(self) -> bool:
        """Whether nobody was served since."""
        return self._since is not None

    def served(self, came_at: float) -> None:
        """Somebody is, whose connection was opened then."""
        if self._since is not None and came_at > self._since:
            self.took_seconds.append(monotonic() - self._since)
            self._since = None


@dataclass(kw_only=True, slots=True)
class Postman:
    """Delivers letters until they are taken, or refused as forged ones are to be.

    `acknowledged` are the SHA-256 of the bodies that were taken; `port` is the public listener's.
    What is not taken is delivered again after a pause.
    """

    chance: Random
    heard: Callable[[], None]  # called upon each acknowledgement
    pause_seconds: float = PAUSE_SECONDS
    tally: Tally = field(default_factory=Tally)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    acknowledged: set[bytes] = field(default_factory=set)
    redelivered: int = 0
    url: str = ""
    port: int = 0
    _letters: asyncio.Queue[Letter] = field(default_factory=asyncio.Queue)

    def post(self, letter: Letter) -> None:
        """Takes a letter, to be delivered."""
        self._letters.put_nowait(letter)

    def taken(self) -> int:
        """How many different letters were, so far."""
        return len(self.acknowledged)

    async def delivered(self) -> None:
        """Returns once every letter was settled, those that go twice too."""
        await self._letters.join()

    async def take(self, request: web.Request) -> web.Response:
        """A provider's webhook, whichever it is: it goes on as it came."""
        body = await request.read()
        own = [it for it in request.raw_headers if it[0].lower().startswith(b"x-")]
        written = head(*own, length(body), path=request.raw_path.encode())
        self.post(Letter(port=self.port, request=written + body, body=body))
        return web.Response(status=202)

    async def carry(self, carrier: int) -> None:
        """One carrier's life; every second one keeps its connections."""
        senders: dict[int, Sender] = {}
        try:
            while True:
                letter = await self._letters.get()
                if letter.port not in senders:
                    keeps_alive = carrier % 2 == 0
                    senders[letter.port] = Sender(letter.port, self.tally, keeps_alive=keeps_alive)
                await self._deliver(letter, senders[letter.port])
                self._letters.task_done()
        finally:
            for sender in senders.values():
                sender.close()

    async def _deliver(self, letter: Letter, sender: Sender) -> None:
        while (status := await sender.send(letter.request)) not in (*TAKEN, FORGED):
            await asyncio.sleep(self.chance.uniform(0, self.pause_seconds))
        if status == FORGED:
            return
        if status == 202 and letter.port == self.port:
            self.stopwatch.served(sender.opened_at)
        if letter.again:
            self.redelivered += 1
            return
        self.acknowledged.add(sha256(letter.body).digest())
        self.heard()
        if self.chance.random() < AGAIN:
            self.post(replace(letter, again=True))


@asynccontextmanager
async def working(
    chance: Random, heard: Callable[[], None], *, pause_seconds: float = PAUSE_SECONDS
) -> AsyncIterator[Postman]:
    """A postman at work; `url` is where providers' webhooks may go, under any path."""
    postman = Postman(chance=chance, heard=heard, pause_seconds=pause_seconds)
    app = web.Application()
    app.add_routes([web.post("/{path:.*}", postman.take)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    postman.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    carriers = [asyncio.create_task(postman.carry(number)) for number in range(CARRIERS)]
    try:
        yield postman
    finally:
        for carrier in carriers:
            carrier.cancel()
        await asyncio.gather(*carriers, return_exceptions=True)
        await runner.cleanup()
