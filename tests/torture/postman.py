"""Between a provider and a service: takes each webhook, and delivers it until it is taken.

A provider's own patience ends after some attempts; this one's does not, and now and then it
delivers once more what was taken already.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random

from aiohttp import web

from tests.receiver.wire import head, length
from tests.torture.senders import Sender, Tally

CARRIERS = 16
AGAIN = 0.2
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """One request: to which port, in which words, and the body by which it is known."""

    port: int
    request: bytes
    body: bytes
    again: bool = False


@dataclass(kw_only=True, slots=True)
class Postman:
    """Delivers letters until they are taken; `acknowledged` are the bodies of those that were."""

    chance: Random
    heard: Callable[[], None]  # called upon each acknowledgement
    tally: Tally = field(default_factory=Tally)
    acknowledged: list[bytes] = field(default_factory=list)
    redelivered: int = 0
    url: str = ""
    _letters: asyncio.Queue[Letter] = field(default_factory=asyncio.Queue)

    def post(self, letter: Letter) -> None:
        """Takes a letter, to be delivered."""
        self._letters.put_nowait(letter)

    def taken(self) -> int:
        """How many letters were, so far."""
        return len(self.acknowledged)

    async def delivered(self) -> None:
        """Returns once every letter was taken, those that go twice too."""
        await self._letters.join()

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
        while await sender.send(letter.request) not in (200, 202):
            await asyncio.sleep(self.chance.uniform(0, PAUSE_SECONDS))
        if letter.again:
            self.redelivered += 1
            return
        self.acknowledged.append(letter.body)
        self.heard()
        if self.chance.random() < AGAIN:
            self.post(replace(letter, again=True))


@asynccontextmanager
async def working(
    public_port: int, chance: Random, heard: Callable[[], None]
) -> AsyncIterator[Postman]:
    """A postman at work; `url` takes a provider's webhooks for the service on that port."""
    postman = Postman(chance=chance, heard=heard)

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        signed = b"X-Doitong-Signature", request.headers["X-Doitong-Signature"].encode()
        postman.post(Letter(port=public_port, request=head(signed, length(body)) + body, body=body))
        return web.Response(status=202)

    app = web.Application()
    app.add_routes([web.post("/", take)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    postman.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    carriers = [asyncio.create_task(postman.carry(number)) for number in range(CARRIERS)]
    try:
        yield postman
    finally:
        for carrier in carriers:
            carrier.cancel()
        await asyncio.gather(*carriers, return_exceptions=True)
        await runner.cleanup()
