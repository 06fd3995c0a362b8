"""A scripted provider on loopback, and a house that asks it: all real but the time."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.jobs import JobRow
from archiver.catalog.schema import migrate
from archiver.inbox import NewDelivery
from archiver.inbox.sqlite import SqliteInbox
from archiver.ledger import keep
from archiver.lifecycle import archive, leading_link, lose_link
from archiver.models import Asset, Failure, FailureClass, Generation, Heard, Slot
from archiver.sqlite import open_reader
from archiver.work import Job, JobKind
from archiver.worker import Settle, Settled
from receiver import provider_tables
from receiver.absorb import Absorb
from receiver.accounts import Accounts, open_accounts
from receiver.asking import Asking
from receiver.exchange import Exchange, encode
from receiver.inboxes import Inboxes
from receiver.poll import Poll
from receiver.upstream import Upstream
from tests.archiver.origin import Origin, answer, serve_origin
from tests.clocks import NOON, FrozenClock
from tests.inboxes import inboxes_in
from tests.receiver.deliveries import delivery

KEY, OTHER_KEY = "sk-0123456789abcdef", "sk-fedcba9876543210"
LEASE_SECONDS = 30.0
HOST = "https://dashscope-result-bj.oss-cn-beijing.aliyuncs.com"
GONE = Failure(failure_class=FailureClass.RENDERABLE, code="gone", message="410 Gone")
_TASK = re.compile(r"^GET /api/v1/tasks/(\S+) ")


def link(name: str) -> str:
    """A link of DashScope's that lives for two days."""
    return f"{HOST}/{name}.png?Expires=1795435200&OSSAccessKeyId=a&Signature=hush"


def task(task_id: str, status: str, *results: str | dict[str, str], **output: Any) -> bytes:
    """DashScope's answer to a question after a task; a result is a link or a failure."""
    said = {"task_id": task_id, "task_status": status, **output}
    if results:
        said["results"] = [{"url": it} if isinstance(it, str) else it for it in results]
    return spoken({"request_id": "r", "output": said})


def spoken(document: object, status: int = 200, **headers: str) -> bytes:
    """A whole answer of JSON."""
    body = json.dumps(document).encode()
    return answer(status, body, Content_Type="application/json", **headers)


@dataclass(kw_only=True)
class House:
    """A catalog and an inbox, and the performer of polls between them and the provider."""

    folder: Path
    provider: Origin
    clock: FrozenClock
    catalog: Catalog
    reader: CatalogReader
    inbox: SqliteInbox
    inboxes: Inboxes
    absorbing: Absorb
    accounts: Accounts
    poll: Poll
    settled: list[Settled] = field(default_factory=list)

    # What is heard ----------------------------------------------------------------------------

    async def hear(self, *heard: NewDelivery) -> None:
        """Something is recorded and absorbed."""
        for one in heard:
            await self.inbox.append(one)
        await self.absorb()

    async def submitted(self, *task_ids: str, key: str | None = KEY, **parameters: Any) -> None:
        """DashScope took submissions of ours, seen by the gateway; without a key by nobody."""
        request = {"model": "sdxl", "input": {"prompt": "a fox"}, "parameters": parameters}
        body = json.dumps(request).encode()
        if key is None:
            remembered = [
                delivery(
                    body,
                    source="dashscope",
                    heard=Heard.REMEMBERED,
                    path_token=task_id,
                    received_at=self.clock(),
                )
                for task_id in task_ids
            ]
            await self.hear(*remembered)
            return
        path = "/api/v1/services/aigc/text2image/image-synthesis"
        outputs = ({"task_id": task_id, "task_status": "PENDING"} for task_id in task_ids)
        taken = ({"output": output} for output in outputs)
        await self.hear(*[self.overheard("POST", path, it, request=body, key=key) for it in taken])

    def overheard(
        self, method: str, path: str, says: object, *, request: bytes = b"", key: str = KEY
    ) -> NewDelivery:
        """A client of the gateway's was answered by DashScope."""
        exchange = Exchange(
            method=method,
            path=path,
            request_type="application/json",
            request=request,
            status=200,
            answer=json.dumps(says).encode(),
            account=self.accounts.fingerprint("dashscope", key),
        )
        return delivery(
            encode(exchange), source="dashscope", heard=Heard.OVERHEARD, received_at=self.clock()
        )

    async def absorb(self) -> None:
        while await self.absorbing.step():
            pass

    # What the provider says -------------------------------------------------------------------

    def says(self, task_id: str, *answers: Any) -> None:
        """What DashScope answers about a task, in turn, the last for ever."""
        self.provider.answers[f"/api/v1/tasks/{task_id}"] = list(answers)

    @property
    def asked(self) -> int:
        """How many questions have reached the provider."""
        return len(self.provider.requests)

    @property
    def asked_about(self) -> Counter[str]:
        """How often DashScope was asked about each task."""
        found = (_TASK.match(request) for request in self.provider.requests)
        return Counter(match[1] for match in found if match)

    # What is done -----------------------------------------------------------------------------

    async def claim(self, limit: int = 16) -> list[Job]:
        def work(tables: Tables) -> list[Job]:
            now = self.clock()
            tables.jobs.promote(now=now)
            tables.jobs.recover(now=now)
            return tables.jobs.claim(
                JobKind.POLL, limit=limit, worker="w", lease_seconds=LEASE_SECONDS, now=now
            )

        return await self.catalog.write(work)

    async def ask(self) -> list[Settle]:
        """Claims what is due and asks, and does not settle it yet."""
        return await asyncio.gather(*map(self.poll.perform, await self.claim()))

    async def settle(self, *settles: Settle) -> list[str]:
        """The outcomes."""
        settled = [await self.catalog.write(settle) for settle in settles]
        self.settled += settled
        return [one.outcome for one in settled]

    async def poll_due(self) -> list[str]:
        """One round as the worker makes it, and absorb after it; the outcomes."""
        outcomes = await self.settle(*await self.ask())
        await self.absorb()
        return outcomes

    async def poll_for(
        self, *, meanwhile: Callable[[], Any] | None = None, **duration: float
    ) -> None:
        """All that is asked within so much time, which passes from one question to the next."""
        until = FrozenClock(self.clock()).advance(**duration)
        while True:
            while await self.poll_due():
                if meanwhile is not None:
                    await meanwhile()
            due_at = await self.next_at()
            if due_at is None or due_at > until:
                break
            self.clock.at = max(due_at, self.clock.at)
        self.clock.at = until

    async def next_at(self) -> datetime | None:
        """When the next question is due."""
        rows = self.rows("SELECT min(run_at) FROM jobs WHERE kind='poll' AND state='scheduled'")
        return (
            None if rows[0][0] is None else datetime.fromtimestamp(rows[0][0] / 1000, NOON.tzinfo)
        )

    async def change(self, task_id: str, change: Callable[[Generation], Generation]) -> None:
        """Something becomes of a generation by our own work."""

        def work(tables: Tables) -> None:
            before = tables.generations.load("dashscope", task_id)
            assert before is not None
            keep(tables, before, change(before), now=self.clock())

        await self.catalog.write(work)

    async def lose(
        self, task_id: str, failure: Failure = GONE, *, index: int | None = None
    ) -> None:
        """Live links of a generation, or of one slot, turn out to be dead, as fetching tells."""

        def without_links(generation: Generation) -> Generation:
            for slot in generation.slots:
                live = leading_link(slot) if index in (None, slot.index) else None
                if live is not None:
                    generation = lose_link(generation, slot.index, live.url_sha256, failure)
            return generation

        await self.change(task_id, without_links)

    async def store(self, task_id: str, index: int, asset: Asset) -> None:
        """A slot's picture is in the bucket."""
        await self.change(task_id, lambda generation: archive(generation, index, asset))

    # What is known ----------------------------------------------------------------------------

    async def generation(self, task_id: str, provider: str = "dashscope") -> Generation:
        known = await self.catalog.write(lambda tables: tables.generations.load(provider, task_id))
        assert known is not None
        return known

    async def slot(self, task_id: str, provider: str = "dashscope") -> Slot:
        (slot,) = (await self.generation(task_id, provider)).slots
        return slot

    async def job(self, task_id: str, provider: str = "dashscope") -> JobRow:
        key = (await self.generation(task_id, provider)).key
        assert key is not None
        job = await self.catalog.write(lambda tables: tables.jobs.of(JobKind.POLL, key))
        assert job is not None
        return job

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        connection = open_reader(self.folder / "catalog.db")
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def waiting(self) -> int:
        """How many questions are still to be asked."""
        states = "('scheduled', 'available', 'running')"
        [(count,)] = self.rows(f"SELECT count(*) FROM jobs WHERE kind='poll' AND state IN {states}")
        return int(count)

    def polled(self) -> int:
        """How many answers were kept."""
        connection = open_reader(self.folder / "inbox" / "archive.db")
        try:
            sql = "SELECT count(*) FROM deliveries WHERE heard='polled'"
            return int(connection.execute(sql).fetchone()[0])
        finally:
            connection.close()

    def everything_kept(self) -> bytes:
        """All the bytes of all its files."""
        return b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file())


@asynccontextmanager
async def open_house(
    folder: Path, *, min_free_bytes: int = 0, **apis: Mapping[str, Any]
) -> AsyncIterator[House]:
    """A house whose providers' tables are `apis`, each at the scripted provider's address."""
    clock = FrozenClock()
    migrate(folder / "catalog.db")
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(serve_origin())
        catalog, reader = Catalog(folder / "catalog.db"), CatalogReader(folder / "catalog.db")
        await catalog.start()
        stack.push_async_callback(catalog.close)
        stack.callback(reader.close)
        inbox = SqliteInbox(folder / "inbox" / "archive.db", min_free_bytes=min_free_bytes)
        await inbox.start()
        stack.push_async_callback(inbox.close)
        inboxes = Inboxes(inboxes_in(folder / "inbox"))
        stack.callback(inboxes.close)
        accounts = open_accounts(folder)
        asking = Asking(
            apis={name: _api(name, provider, table) for name, table in apis.items()},
            upstream=await stack.enter_async_context(Upstream()),
            accounts=accounts,
            now=clock,
            monotonic=lambda: (clock() - NOON).total_seconds(),
        )
        yield House(
            folder=folder,
            provider=provider,
            clock=clock,
            catalog=catalog,
            reader=reader,
            inbox=inbox,
            inboxes=inboxes,
            absorbing=Absorb(catalog, inboxes, now=clock, work_planned=lambda: None),
            accounts=accounts,
            poll=Poll(asking=asking, catalog=reader, inbox=inbox, now=clock, random=lambda: 0.5),
        )


def _api(name: str, provider: Origin, table: Mapping[str, Any]) -> provider_tables.Api:
    made: dict[str, type[provider_tables.Api]] = {
        "doitong": provider_tables.Doitong,
        "modelslab": provider_tables.ModelsLab,
        "dashscope": provider_tables.DashScope,
    }
    return made[name](base_url=provider.url(""), **{**table, "keys": {**table["keys"]}})
