"""Roles that are told to end, one after the other, while clients of all listeners go on."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from receiver.simulator import Simulator
from tests.receiver.wire import head, length, webhook
from tests.service import SECRET, Service, starting, write_config
from tests.torture.kills import inboxes
from tests.torture.senders import Sender, Tally, send_until
from tests.torture.trial import Row, Run
from tests.torture.verdict import rows

ROLES = ("receive", "archive", "gateway", "web")
# Which listener a client speaks to. Half of each kind keep their connection.
CLIENTS = ("public",) * 16 + ("private",) * 4 + ("gateway",) * 4
PAUSE_SECONDS = 0.1
_KEY = "practice"
_ASK = "mutation ($input: ImageGenerationInput!) { generateImage(input: $input) { id } }"
_MARK = re.compile(rb"fox \d+-\d+;")


@dataclass(kw_only=True, slots=True)
class Siege:
    """Clients of a service that comes and goes: what they met, and what they were told is kept."""

    folder: Path
    config: Path
    ports: dict[str, int]
    chance: Random
    restarts: int = 0
    tally: Tally = field(default_factory=Tally)
    acknowledged: set[bytes] = field(default_factory=set)
    stored: Counter[bytes] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        """Acknowledged, and not there."""
        return len(self.acknowledged - self.stored.keys())

    @property
    def doubled(self) -> int:
        """Rows beyond one for each thing said."""
        return self.stored.total() - len(self.stored)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """All clients send until this is left, and are answered to the last."""
        stop = asyncio.Event()
        clients = [
            asyncio.create_task(self._client(number, listener, stop))
            for number, listener in enumerate(CLIENTS)
        ]
        yield
        stop.set()
        await asyncio.gather(*clients)

    async def pause(self) -> None:
        """Returns at a random moment soon."""
        await asyncio.sleep(self.chance.uniform(0.1, 0.5))

    def count(self) -> None:
        """Looks up what is stored."""
        for path in inboxes(self.folder):
            for (body,) in rows(path, "SELECT body FROM deliveries"):
                self.stored.update(set(_MARK.findall(body)))

    async def _client(self, client: int, listener: str, stop: asyncio.Event) -> None:
        def request(number: int) -> bytes:
            return _REQUESTS[listener](f"{client}-{number}")

        sender = Sender(self.ports[listener], self.tally, keeps_alive=client % 2 == 0)
        sent = await send_until(stop, sender, request, self.chance, pause_seconds=PAUSE_SECONDS)
        self.acknowledged |= {b"fox %d-%d;" % (client, number) for number in sent}


def restarts(run: Run) -> list[Row]:
    """Ends roles, and whole services whose sockets somebody holds; the control holds none."""
    chance = Random(run.seed)
    count, services = (500, 50) if run.long else (50, 5)
    rolling = [ROLES[number % len(ROLES)] for number in range(count)]
    chance.shuffle(rolling)
    roles = asyncio.run(restart(run.folder / "roles", rolling, chance))
    held = asyncio.run(begin_anew(run.folder / "held", services, chance, holds_sockets=True))
    bare = asyncio.run(begin_anew(run.folder / "bare", services, chance, holds_sockets=False))
    control = f"each opens its own sockets, {bare.restarts} restarts: {bare.tally.refused} refused"
    return [
        Row(
            test=f"restarts: {what}",
            dose=f"{it.restarts} rolling SIGTERMs, {len(it.acknowledged)} acknowledged",
            must="0 refused, 0 cut off, 0 answered 5xx, 0 lost, 0 twice",
            result=f"{it.tally.refused} refused, {it.tally.cut} cut off,"
            f" {it.tally.failed - it.tally.refused - it.tally.cut} answered 5xx, {it.lost} lost,"
            f" {it.doubled} twice; slowest answer {it.tally.slowest_seconds:.1f} s",
            kept=not (it.tally.failed or it.lost or it.doubled),
            control=control,
            control_broke=bare.tally.refused > 0,
        )
        for what, it in (("roles, sockets of their parent", roles), ("services, of theirs", held))
    ]


async def restart(folder: Path, roles: Sequence[str], chance: Random) -> Siege:
    """Ends each of `roles` in turn by SIGTERM, each once the one before serves again."""
    async with _besieged(folder, chance) as siege:
        with starting(siege.config) as service:
            _serves(service)
            async with siege.going_on():
                for role in roles:
                    await siege.pause()
                    await asyncio.to_thread(service.restart, role)
                await siege.pause()
            assert await asyncio.to_thread(service.stop) == 0
    siege.restarts = len(roles)
    return siege


async def begin_anew(folder: Path, times: int, chance: Random, *, holds_sockets: bool) -> Siege:
    """Ends a whole service again and again, and starts another as a service manager does.

    Either that holds the sockets (`receiver.roles.activation`), or each service opens its own.
    """
    async with _besieged(folder, chance) as siege:
        sockets = {
            name: socket.create_server(("127.0.0.1", port))
            for name, port in siege.ports.items()
            if holds_sockets
        }
        async with AsyncExitStack() as stack:
            for turn in range(1 + times):
                with starting(siege.config, sockets=sockets) as service:
                    await asyncio.to_thread(_serves, service)
                    if turn == 0:
                        await stack.enter_async_context(siege.going_on())
                    await siege.pause()
                    if turn == times:
                        await stack.aclose()  # who is still waiting is answered
                    assert await asyncio.to_thread(service.stop) == 0
        for each in sockets.values():
            each.close()
    siege.restarts = times
    return siege


@asynccontextmanager
async def _besieged(folder: Path, chance: Random) -> AsyncIterator[Siege]:
    """A configuration with an address for each listener, and what is to be counted afterwards."""
    folder.mkdir(exist_ok=True)
    ports = {name: _free_port() for name in ("public", "private", "gateway")}
    async with Simulator(SECRET.encode(), drawing_seconds=0, api_key=_KEY) as simulator:
        config = write_config(
            folder,
            listen={name: f"127.0.0.1:{port}" for name, port in ports.items()},
            providers_doitong={"gateway": True, "base_url": simulator.base_url},
        )
        siege = Siege(folder=folder, config=config, ports=ports, chance=chance)
        yield siege
    siege.count()


def _serves(service: Service) -> None:
    service.logged("ready", role="supervisor")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


def _body(name: str, **more: object) -> bytes:
    return json.dumps({"id": name, "prompt": f"fox {name};", **more}).encode()


def _push(name: str) -> bytes:
    return webhook(_body(name, status="queued"), secret=SECRET)


def _remember(name: str) -> bytes:
    path = f"/api/v1/generations/doitong/{name}".encode()
    return head(length(_body(name)), method=b"PUT", path=path) + _body(name)


def _submit(name: str) -> bytes:
    given = {"service": "flux-pro", "prompt": f"fox {name};", "width": 64, "height": 64}
    body = json.dumps({"query": _ASK, "variables": {"input": given}}).encode()
    shown = b"Authorization", b"Bearer " + _KEY.encode()
    return head(shown, length(body), path=b"/gateway/doitong/graphql") + body


_REQUESTS: dict[str, Callable[[str], bytes]] = {
    "public": _push,
    "private": _remember,
    "gateway": _submit,
}
