"""A rescue follows the service until all was tried, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.schema import migrate
from archiver.clock import now
from archiver.inbox.quarantine import Quarantine, Rejected
from archiver.inbox.quarantined import Quarantined
from archiver.ledger import keep
from archiver.work import Job, JobKind, JobState
from receiver import rescue as room
from receiver.absorb import Absorb
from receiver.deliveries import log_of
from receiver.inboxes import Inboxes
from receiver.rescue import Rescue
from tests.inboxes import inboxes_in
from tests.receiver.deliveries import record, webhook
from tests.receiver.roles_in_process import configuration
from tests.receiver.test_jobs_command import known

PATIENCE_SECONDS = 20


@dataclass(kw_only=True)
class Following:
    """A rescue under way, and the work of the service, done by hand."""

    rescue: Rescue
    catalog: Catalog
    absorb: Absorb
    stop: asyncio.Event
    told: asyncio.Queue[int]
    task: asyncio.Task[bool]

    async def sees(self, left: int) -> None:
        """Returns once it has told twice that so much is left: it had looked again by then."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(2):
                while await self.told.get() != left:
                    pass
        assert not self.task.done()

    async def ended(self) -> bool:
        return await asyncio.wait_for(self.task, PATIENCE_SECONDS)

    async def claim(self) -> Job:
        def work(tables: Tables) -> Job:
            tables.jobs.promote(now=now())
            (job,) = tables.jobs.claim(
                JobKind.FETCH, limit=1, worker="w", lease_seconds=9, now=now()
            )
            return job

        return await self.catalog.write(work)

    async def fail(self, job: Job) -> None:
        """It is tried again much later."""
        later = now() + timedelta(hours=1)
        await self.catalog.write(
            lambda tables: tables.jobs.finish(
                job, JobState.SCHEDULED, reason="busy", run_at=later, now=now()
            )
        )


@pytest.fixture
async def following(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Following]:
    """With one link to be fetched, beside a service that lives."""
    monkeypatch.setattr(room, "_LOOK_SECONDS", 0.01)
    config = configuration(tmp_path)
    folder = config.catalog.inbox_folder
    await record(folder / "receive.db")
    migrate(config.catalog.path)
    catalog, reader = Catalog(config.catalog.path), CatalogReader(config.catalog.path)
    await catalog.start()
    await catalog.write(lambda it: it.deliveries.beat("archive", now=now()))
    await catalog.write(lambda it: keep(it, None, known("a", timedelta(hours=9)), now=now()))
    log, inboxes = log_of(reader, config.catalog), Inboxes(inboxes_in(folder))
    rescue = Rescue(config=config, archive=reader, log=log, inboxes=inboxes)
    stop, told = asyncio.Event(), asyncio.Queue[int]()
    absorbed = Inboxes(inboxes_in(folder))
    yield Following(
        rescue=rescue,
        catalog=catalog,
        absorb=Absorb(catalog, absorbed, now=now, work_planned=lambda: None),
        stop=stop,
        told=told,
        task=asyncio.create_task(rescue.follow(stop, told.put_nowait)),
    )
    stop.set()
    for it in (absorbed, inboxes, log, reader):
        it.close()
    await catalog.close()


async def test_it_ends_when_all_was_tried_once(following: Following) -> None:
    """What waits for its next try is not waited for."""
    await following.sees(1)
    job = await following.claim()
    await following.sees(1)
    await following.fail(job)
    assert await following.ended()


async def test_it_waits_until_what_was_heard_is_absorbed(following: Following) -> None:
    """What that names is daily work, for it was heard of after the rescue began."""
    await following.sees(1)
    folder = following.rescue.config.catalog.inbox_folder
    await record(folder / "web.db", webhook("b"))
    await following.sees(2)
    await following.fail(await following.claim())
    await following.sees(1)
    assert await following.absorb.step() == 1
    assert await following.ended()


async def test_it_waits_for_what_a_backlog_names(following: Following) -> None:
    """That was heard before, and nobody could know of it."""
    await following.fail(await following.claim())
    await record(following.rescue.config.catalog.inbox_folder / "web.db", webhook("b"))
    stop, told = asyncio.Event(), asyncio.Queue[int]()
    again = asyncio.create_task(following.rescue.follow(stop, told.put_nowait))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert [await told.get() for _ in range(2)] == [2, 2]
        await following.absorb.step()
        await following.fail(await following.claim())
        await following.catalog.write(lambda it: it.jobs.promote(now=now() + timedelta(days=1)))
        await following.fail(await following.claim())
        assert await again


async def test_it_waits_until_the_quarantine_is_taken_in(following: Following) -> None:
    """Which is the receiving process's to do."""
    await following.fail(await following.claim())
    quarantine = Quarantine(following.rescue.config.catalog.inbox_folder / "quarantine.db")
    await quarantine.start()
    rejected = Rejected(
        source="doitong",
        path_token="",
        received_at=now(),
        peer="",
        reason="",
        headers=(),
        body=b"{}",
    )
    quarantine.offer(rejected)
    await quarantine.let_go([])
    Quarantined(following.rescue.config.catalog.inbox_folder / "quarantine.db").mark({1: "a"})
    stop, told = asyncio.Event(), asyncio.Queue[int]()
    again = asyncio.create_task(following.rescue.follow(stop, told.put_nowait))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert [await told.get() for _ in range(3)] == [2, 2, 2]  # and a job, not tried since
    await quarantine.let_go([1])
    await quarantine.close()
    stop.set()
    assert not await asyncio.wait_for(again, PATIENCE_SECONDS)


async def test_it_ends_where_nobody_does_the_work(following: Following) -> None:
    """A service that has not been seen for a while does not run."""
    await following.sees(1)
    long_ago = now() - timedelta(minutes=1)
    await following.catalog.write(lambda it: it.deliveries.beat("archive", now=long_ago))
    assert not await following.ended()


async def test_it_can_be_stopped(following: Following) -> None:
    """At any time."""
    await following.sees(1)
    following.stop.set()
    assert not await following.ended()
