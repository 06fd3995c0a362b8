"""What comes in at a balancer all the while: pictures that are made, and words of those to come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random

from aiohttp import ClientSession

from archiver.clock import monotonic
from receiver.simulator import Simulator
from tests.receiver.wire import webhook
from tests.service import SECRET, eventually
from tests.torture.postman import Letter, Postman, working

_ASK = "mutation ($input: GenerateInput!) { generate(input: $input) { id } }"
_PICTURE_EVERY = 8
_PAUSE_SECONDS = 0.06
# As impatient as no provider is.
_AGAIN_SECONDS = 0.4


@dataclass(kw_only=True, slots=True)
class Traffic:
    """`bodies` are of letters, `ids` of generations whose webhooks the simulator sends itself."""

    postman: Postman
    simulator: Simulator
    session: ClientSession
    bodies: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """One after the other, until `stop`."""
        for number in count():
            if self.stop.is_set():
                return
            if number % _PICTURE_EVERY == 0:
                await self._picture(number)
            else:
                self._letter(number)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def goes_on(self, letters: int = 25) -> float:
        """Returns once so many more were taken; the seconds that it took."""
        wanted, began = self.postman.taken() + letters, monotonic()

        async def taken() -> bool | None:
            return self.postman.taken() >= wanted or None

        await eventually(taken)
        return monotonic() - began

    async def settled(self) -> None:
        """Returns once nothing more is sent, and all that was is taken."""
        self.stop.set()
        await self.simulator.idle()
        await self.postman.delivered()

    def _letter(self, number: int) -> None:
        body = b'{"id": "w%05d", "status": "pending"}' % number
        request = webhook(body, secret=SECRET)
        self.bodies.append(body)
        self.postman.post(Letter(port=self.postman.port, request=request, body=body))

    async def _picture(self, number: int) -> None:
        given = {
            "provider": "flux-pro",
            "input": {"text": f"fox number {number}"},
            "options": {
                "width": 96,
                "height": 64,
                "webhookUrl": f"{self.postman.url}/webhooks/doitong",
            },
        }
        async with self.session.post(
            f"{self.simulator.base_url}/graphql",
            json={"query": _ASK, "variables": {"input": given}},
            headers={"Authorization": "Bearer practice"},
        ) as answer:
            self.ids.append((await answer.json())["data"]["generate"]["id"])


@asynccontextmanager
async def coming_in(simulator: Simulator, port: int) -> AsyncIterator[Traffic]:
    """Traffic to that port of this machine, for as long as the context lasts or until `settled`."""
    carrying = working(Random(7), lambda: None, pause_seconds=_AGAIN_SECONDS)
    async with carrying as postman, ClientSession() as session:
        postman.port = port
        traffic = Traffic(postman=postman, simulator=simulator, session=session)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(traffic.run())
            yield traffic
            traffic.stop.set()
            await running


async def answers(session: ClientSession, url: str) -> bool | None:
    """Whether that URL is answered by 200."""
    try:
        async with session.get(url) as answer:
            return answer.status == 200 or None
    except OSError:
        return None


async def seconds_until(session: ClientSession, urls: list[str]) -> list[float]:
    """After how many seconds each of these is answered by 200."""
    began = monotonic()

    async def asked(url: str) -> float:
        await eventually(partial(answers, session, url))
        return monotonic() - began

    return await asyncio.gather(*(asked(url) for url in urls))
