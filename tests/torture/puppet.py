"""A provider that does as it is told: webhooks signed by us, and links with scripted answers."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from archiver import clock
from archiver.sqlite import open_reader
from tests.archiver.origin import Origin, Script, answer, serve_origin
from tests.receiver.wire import Answer, ask, webhook
from tests.service import SECRET, Service, from_simulator, running

STORED = (200, 202)
ENDS = ("archived", "rendered", "held", "dead")
_PATIENCE_SECONDS = 60
_LOOK_SECONDS = 0.05
_TRICKLES = 30


@dataclass(kw_only=True, slots=True)
class Puppet:
    """What was told to a service, and what it said; `told` are its answers to first deliveries."""

    folder: Path
    service: Service
    origin: Origin
    told: dict[str, Answer] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)  # SHA-256, by generation
    answers: Counter[int] = field(default_factory=Counter)
    lies: list[str] = field(default_factory=list)  # neither stored nor refused as is promised

    async def tell(
        self,
        name: str,
        *scripts: Script,
        mends: bool = True,
        life: timedelta = timedelta(hours=2),
        host: str | None = None,
    ) -> Answer:
        """Delivers the webhook of a generation whose link gives these answers.

        Then its picture, if it `mends`. `life` is the link's, by a true clock, and `host` another
        name for where it leads.
        """
        path, picture = f"/{name}.png", _picture(name)
        self.pictures[name] = sha256(picture).digest()
        self.origin.answers[path] = [*scripts, *([answer(body=picture)] if mends else [])]
        dies_at = int((clock.now() + life).timestamp())
        link = f"{self.origin.url(path, host=host)}?Expires={dies_at}&Signature=hush"
        document = {"id": name, "status": "completed", "url": link, "prompt": "a fox"}
        return await self.deliver(name, json.dumps(document).encode())

    async def deliver(self, name: str, body: bytes) -> Answer:
        """Delivers a webhook of a generation, and judges the answer."""
        said = await ask(self.service.public, webhook(body, secret=SECRET))
        if said.status not in STORED and (said.status != 503 or "retry-after" not in said.headers):
            self.lies.append(f"{name} was answered {said.status}")
        self.answers[said.status] += 1
        self.told[name] = said
        return said

    async def insist(self, name: str, body: bytes) -> None:
        """Delivers a webhook until it is stored, as a provider does."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while (await self.deliver(name, body)).status not in STORED:
                await asyncio.sleep(_LOOK_SECONDS)

    def asked(self, name: str) -> int:
        """How often the link of a generation was asked for."""
        return sum(it.startswith(f"GET /{name}.png") for it in self.origin.requests)

    def stored(self) -> Counter[str]:
        """The generations whose webhooks are in the inbox, and how often each is."""
        bodies = self.rows("SELECT body FROM deliveries", "inbox/receive.db")
        return Counter(json.loads(body)["id"] for (body,) in bodies)

    def lost(self) -> list[str]:
        """Generations whose webhooks were acknowledged, and are not there."""
        stored = self.stored()
        return [name for name, it in self.told.items() if it.status in STORED and not stored[name]]

    def unequal(self) -> list[str]:
        """Generations that were archived as another picture than they are, or more than once."""
        sql = (
            "SELECT generations.id, assets.sha256 FROM assets JOIN slots ON number = assets.slot"
            " JOIN generations ON generations.key = slots.generation"
        )
        archived = self.rows(sql)
        twice = len(archived) - len({name for name, _ in archived})
        return [name for name, it in archived if it != self.pictures[name]] + ["twice"] * twice

    def fates(self) -> dict[str, tuple[str, str]]:
        """How each generation's slot stands, and why."""
        sql = (
            "SELECT generations.id, slots.state, slots.reason FROM slots"
            " JOIN generations ON generations.key = slots.generation"
        )
        return {name: (state, reason) for name, state, reason in self.rows(sql)}

    def rows(self, sql: str, file: str = "catalog.db") -> list[tuple[Any, ...]]:
        """The answer of one of the databases."""
        connection = open_reader(self.folder / file)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    async def archived(self, *names: str) -> bool:
        """Whether these come to be archived, or all that are stored, before patience ends."""
        return await self.ended(*names, states=("archived",))

    async def ended(self, *names: str, states: Collection[str] = ENDS) -> bool:
        """Whether these, or all that are stored, come to one of those states."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while not self._are(names or self.stored(), states):
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            return False
        return True

    def _are(self, names: Iterable[str], states: Collection[str]) -> bool:
        fates = self.fates()
        return all(fates.get(name, ("",))[0] in states for name in names)

    async def asked_for(self, *names: str, times: int = 1) -> None:
        """Returns once the links of these have been asked for, so often."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while any(self.asked(name) < times for name in names):
                await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def pulling_strings(
    folder: Path, *, env: Mapping[str, str], **tables: Mapping[str, object]
) -> AsyncIterator[Puppet]:
    """A puppet before a service in `folder`, which ends well when it is left."""
    async with serve_origin() as origin:
        tables = {"egress": from_simulator(origin.url("")), **tables}
        with ExitStack() as stack:
            # Whatever the service asks of this process at its start is answered meanwhile.
            starting = running(folder, env=env, **tables)
            service = await asyncio.to_thread(stack.enter_context, starting)
            yield Puppet(folder=folder, service=service, origin=origin)
            assert await asyncio.to_thread(service.stop) == 0


def trickling(name: str, seconds: float) -> Script:
    """The picture of a generation, byte by byte, in so long a time."""

    async def script(writer: asyncio.StreamWriter) -> None:
        whole = answer(body=_picture(name))
        size = len(whole) // _TRICKLES + 1
        for start in range(0, len(whole), size):
            writer.write(whole[start : start + size])
            await writer.drain()
            await asyncio.sleep(seconds / _TRICKLES)

    return script


def _picture(name: str) -> bytes:
    """Unlike that of any other name."""
    file = BytesIO()
    Image.frombytes("RGB", (8, 4), sha256(name.encode()).digest() * 3).save(file, "PNG")
    return file.getvalue()
