"""Roles that are told to end, one after the other, while clients of both listeners go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from archiver.inbox.sqlite import SqliteInboxReader
from tests.receiver.wire import head, length, webhook
from tests.service import SECRET, Service, running
from tests.torture.senders import Sender, Tally, send_until

# Of each kind: those that keep their connection, and those that open one for each request.
PUSHING = 8
REMEMBERING = 2
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Restarted:
    """What the clients met, and what was acknowledged against what is stored."""

    restarts: int
    tally: Tally
    acknowledged: list[bytes]
    stored: list[bytes | None]

    @property
    def lost(self) -> int:
        """Acknowledged, and not there."""
        return len(set(self.acknowledged) - set(self.stored))

    @property
    def doubled(self) -> int:
        """Rows beyond one for each body."""
        return len(self.stored) - len(set(self.stored))


async def restart(folder: Path, roles: Sequence[str], chance: Random) -> Restarted:
    """Ends each of `roles` in turn by SIGTERM, each once the one before serves again."""
    tally, stop = Tally(), asyncio.Event()
    with running(folder) as service:
        clients = [
            asyncio.create_task(_client(service, number, tally, stop, chance))
            for number in range(2 * (PUSHING + REMEMBERING))
        ]
        for role in roles:
            await asyncio.sleep(chance.uniform(0.1, 0.5))
            await asyncio.to_thread(service.restart, role)
        await asyncio.sleep(0.1)
        stop.set()
        acknowledged = [body for bodies in await asyncio.gather(*clients) for body in bodies]
        assert await asyncio.to_thread(service.stop) == 0
    return Restarted(
        restarts=len(roles), tally=tally, acknowledged=acknowledged, stored=_stored(folder)
    )


async def _client(
    service: Service, client: int, tally: Tally, stop: asyncio.Event, chance: Random
) -> list[bytes]:
    """The bodies that one client was told are stored."""
    pushes = client < 2 * PUSHING
    port = service.public if pushes else service.private
    body: Callable[[int], bytes] = partial(_body, client)

    def request(number: int) -> bytes:
        if pushes:
            return webhook(body(number), secret=SECRET)
        path = b"/api/v1/generations/doitong/%d-%d" % (client, number)
        return head(length(body(number)), method=b"PUT", path=path) + body(number)

    sender = Sender(port, tally, keeps_alive=client % 2 == 0)
    sent = await send_until(stop, sender, request, chance, pause_seconds=PAUSE_SECONDS)
    return [body(number) for number in sent]


def _body(client: int, number: int) -> bytes:
    return json.dumps({"id": f"{client}-{number}", "status": "queued", "prompt": "a fox"}).encode()


def _stored(folder: Path) -> list[bytes | None]:
    bodies: list[bytes | None] = []
    for name in ("receive", "web"):
        reader = SqliteInboxReader(folder / "inbox" / f"{name}.db")
        bodies += [delivery.body for delivery in reader.after(0, limit=1_000_000)]
        reader.close()
    return bodies
