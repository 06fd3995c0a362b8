"""The worker: as much at once as it may, nothing lost, nothing done twice."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from archiver import worker as room
from archiver.catalog import Catalog, Tables
from archiver.catalog.jobs import JobRow
from archiver.errors import CatalogUnavailableError, InboxUnavailableError, LedElsewhereError
from archiver.leaps import note_time
from archiver.work import Job, JobKind, JobState, WantedJob
from archiver.worker import Bench, Settle, Settled, Worker
from tests.archiver.disks import fill_disk, locked
from tests.clocks import NOON, FrozenClock

FETCH, SEAL = JobKind.FETCH, JobKind.SEAL
# A test that waits longer than this has failed.
PATIENCE_SECONDS = 20


class Hands:
    """A performer that says whom it has begun, and ends when it is let."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[Job] = asyncio.Queue()
        self.may_end = asyncio.Event()
        self.at_work: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()

    async def perform(self, job: Job) -> Settle:
        self.at_work[job.host] += 1
        self.peak["all"] = max(self.peak["all"], self.at_work.total())
        self.peak[job.host] = max(self.peak[job.host], self.at_work[job.host])
        self.begun.put_nowait(job)
        try:
            await self.may_end.wait()
        finally:
            self.at_work[job.host] -= 1
        return completed(job)


def completed(job: Job, trace: str = "done") -> Settle:
    """A good end that leaves a trace beside the job's row."""

    def settle(tables: Tables) -> Settled:
        tables.deliveries.beat(trace, now=NOON)
        tables.jobs.finish(job, JobState.COMPLETED, now=NOON)
        return Settled(outcome="completed", says={"trace": trace})

    return settle


@pytest.fixture(autouse=True)
def _only_events_wake(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may pass because the worker looks again by itself."""
    monkeypatch.setattr(room, "IDLE_SECONDS", 3600)
    monkeypatch.setattr(room, "UNAVAILABLE_SECONDS", 0.01)


@pytest.fixture
def hands() -> Hands:
    return Hands()


def worker_of(
    catalog: Catalog,
    clock: FrozenClock,
    perform: room.Performer,
    *,
    name: str = "worker-1",
    slots: int = 9,
    per_host: int = 9,
    others: Mapping[JobKind, Bench] | None = None,
) -> Worker:
    """A worker with a bench for fetches, and for others if given."""
    bench = Bench(perform=perform, slots=slots, per_host=per_host)
    return Worker(catalog, {FETCH: bench, **(others or {})}, name=name, now=clock)


@asynccontextmanager
async def at_work(worker: Worker, *, drain_seconds: float = 20) -> AsyncIterator[None]:
    """The worker works in the context and is told to stop at its end."""
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop, drain_seconds=drain_seconds))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    finally:
        stop.set()
        worker.wake()
        await asyncio.wait_for(running, PATIENCE_SECONDS + drain_seconds)


async def want(catalog: Catalog, *subjects: int, kind: JobKind = FETCH, host: str = "") -> None:
    jobs = [WantedJob(kind=kind, subject=n, target="aa", host=host) for n in subjects]
    await catalog.write(lambda tables: tables.jobs.want(jobs, now=NOON))


async def row(catalog: Catalog, subject: int = 1) -> JobRow:
    job = await catalog.write(lambda tables: tables.jobs.of(FETCH, subject))
    assert job is not None
    return job


async def count(catalog: Catalog) -> Mapping[tuple[str, str], int]:
    return await catalog.write(lambda tables: tables.jobs.count())


async def traces(catalog: Catalog) -> list[str]:
    """What outcomes have left beside their jobs' rows."""

    def work(tables: Tables) -> list[str]:
        rows = tables.connection.execute("SELECT role FROM heartbeats ORDER BY role")
        return [role for (role,) in rows]

    return await catalog.write(work)


async def rounds(catalog: Catalog, worker: Worker, seals: Hands, number: int = 5) -> None:
    """Waits until the worker has looked for work so many times more, by a seal for each time."""
    begun = seals.begun.qsize()
    for subject in range(begun, begun + number):
        await want(catalog, 1000 + subject, kind=SEAL)
        worker.wake()
        while seals.begun.qsize() <= subject:
            await asyncio.sleep(0)


# How much at once ---------------------------------------------------------------------------------


async def test_everything_is_done_within_slots_and_hosts(
    catalog: Catalog, clock: FrozenClock, hands: Hands
) -> None:
    """Never more at once than the slots, nor of one host than it may have; and all gets done."""
    await want(catalog, *range(8), host="a")
    await want(catalog, *range(8, 12), host="b")
    hands.may_end.set()
    async with at_work(worker_of(catalog, clock, hands.perform, slots=3, per_host=2)):
        for _ in range(12):
            await hands.begun.get()
    assert await count(catalog) == {("fetch", "completed"): 12}
    assert hands.peak["all"] <= 3
    assert hands.peak["a"] <= 2
    assert hands.peak["b"] <= 2


async def test_kinds_do_not_compete(catalog: Catalog, clock: FrozenClock, hands: Hands) -> None:
    """A full bench of one kind leaves another's free."""
    seals = Hands()
    bench = {SEAL: Bench(perform=seals.perform, slots=9, per_host=9)}
    worker = worker_of(catalog, clock, hands.perform, slots=3, others=bench)
    await want(catalog, *range(10))
    async with at_work(worker):
        await rounds(catalog, worker, seals)
        assert hands.at_work.total() == 3
        assert seals.at_work.total() == 5
        hands.may_end.set()
        seals.may_end.set()
        for _ in range(10):
            await hands.begun.get()
    assert await count(catalog) == {("fetch", "completed"): 10, ("seal", "completed"): 5}


async def test_what_waits_for_its_commit_takes_nobodys_place(
    catalog: Catalog, clock: FrozenClock, hands: Hands
) -> None:
    """While one outcome cannot be written the next job is begun, even with one slot."""
    begun: list[int] = []

    async def perform(job: Job) -> Settle:
        begun.append(job.subject)
        done = await hands.perform(job)

        def settle(tables: Tables) -> Settled:
            if begun == [1]:
                raise CatalogUnavailableError("not before the second has begun")
            return done(tables)

        return settle

    await want(catalog, 1, 2)
    hands.may_end.set()
    async with at_work(worker_of(catalog, clock, perform, slots=1)):
        for _ in range(2):
            await hands.begun.get()
    assert begun == [1, 2]
    assert hands.peak["all"] == 1
    assert await count(catalog) == {("fetch", "completed"): 2}


async def test_a_host_that_is_nearly_busy_gets_no_more_than_the_rest(
    catalog: Catalog, clock: FrozenClock, hands: Hands
) -> None:
    """What already runs against a host counts when more is claimed for it."""
    seals = Hands()
    seals.may_end.set()
    bench = {SEAL: Bench(perform=seals.perform, slots=9, per_host=9)}
    worker = worker_of(catalog, clock, hands.perform, per_host=3, others=bench)
    async with at_work(worker):
        for subjects, host in (([1, 2], "a"), ([3, 4, 5], "a"), ([6, 7, 8, 9], "b")):
            await want(catalog, *subjects, host=host)
            await rounds(catalog, worker, seals)
        assert +hands.at_work == {"a": 3, "b": 3}
        hands.may_end.set()
        for _ in range(9):
            await hands.begun.get()
    assert hands.peak["a"] == hands.peak["b"] == 3


# Waking -------------------------------------------------------------------------------------------


async def test_whoever_plans_work_wakes_the_worker(
    catalog: Catalog, clock: FrozenClock, hands: Hands
) -> None:
    """New work begins at once, not at the next look."""
    worker = worker_of(catalog, clock, hands.perform)
    hands.may_end.set()
    async with at_work(worker):
        for subject in (1, 2):
            await want(catalog, subject)
            worker.wake()
            assert (await hands.begun.get()).subject == subject


async def test_a_look_now_and_then_finds_what_nobody_told(
    catalog: Catalog, clock: FrozenClock, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process's plans, and scheduled jobs whose time has come, are found by looking."""
    monkeypatch.setattr(room, "IDLE_SECONDS", 0.001)
    hands.may_end.set()
    async with at_work(worker_of(catalog, clock, hands.perform)):
        await want(catalog, 1)
        assert (await hands.begun.get()).subject == 1


async def test_a_catalog_that_is_unavailable_is_waited_for(
    catalog: Catalog,
    catalog_path: Path,
    clock: FrozenClock,
    hands: Hands,
    log_file: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An outage while claiming is logged and survived."""
    monkeypatch.setattr(room, "IDLE_SECONDS", 0.001)
    await want(catalog, 1)
    hands.may_end.set()
    with locked(catalog_path):
        working = at_work(worker_of(catalog, clock, hands.perform))
        await working.__aenter__()
        while "catalog unavailable" not in log_file.getvalue():
            await asyncio.sleep(0)
    assert (await hands.begun.get()).subject == 1
    await working.__aexit__(None, None, None)
    assert (await row(catalog)).state == "completed"


# Outcomes -----------------------------------------------------------------------------------------


async def test_an_outcome_is_one_transaction(
    catalog: Catalog, clock: FrozenClock, hands: Hands, log_file: io.StringIO
) -> None:
    """The job's end and what follows from it are written together, and told in the log."""
    await want(catalog, 1)
    hands.may_end.set()
    async with at_work(worker_of(catalog, clock, hands.perform)):
        await hands.begun.get()
    assert (await row(catalog)).state == "completed"
    assert await traces(catalog) == ["done"]
    assert '"trace": "done"' in log_file.getvalue()


async def test_a_performer_that_raises_loses_no_job(
    catalog: Catalog, clock: FrozenClock, hands: Hands, log_file: io.StringIO
) -> None:
    """A bug of ours is logged with its traceback, and the job waits a while and is tried again."""

    async def perform(job: Job) -> Settle:
        if job.attempts == 1:
            raise KeyError("https://cdn.doitong.com/1.png?Signature=hush")
        return await hands.perform(job)

    await want(catalog, 1)
    hands.may_end.set()
    worker = worker_of(catalog, clock, perform)
    async with at_work(worker):
        while (found := await row(catalog)).state != "scheduled":
            await asyncio.sleep(0)
        assert found.reason == "a fault of holdfast: KeyError"
        assert found.run_at == NOON + room.FAULT_PAUSE
        clock.advance(seconds=room.FAULT_PAUSE.total_seconds())
        worker.wake()
        assert (await hands.begun.get()).attempts == 2
    assert (await row(catalog)).state == "completed"
    assert "KeyError" in log_file.getvalue()
    assert "hush" not in log_file.getvalue()


@pytest.mark.parametrize("error", [CatalogUnavailableError, InboxUnavailableError])
async def test_a_job_waits_a_moment_for_a_database_that_cannot_be_asked(
    catalog: Catalog,
    clock: FrozenClock,
    hands: Hands,
    log_file: io.StringIO,
    error: type[Exception],
) -> None:
    """It is no fault of ours, nor of the job, so it is not put off for as long, and never held."""

    async def perform(job: Job) -> Settle:
        if job.attempts == 1:
            raise error("the server is being started again")
        return await hands.perform(job)

    await want(catalog, 1)
    hands.may_end.set()
    worker = worker_of(catalog, clock, perform)
    async with at_work(worker):
        while (found := await row(catalog)).state != "scheduled":
            await asyncio.sleep(0)
        assert (found.reason, found.run_at) == ("", NOON + room.PUT_OFF)
        assert await first_attempt(catalog) is None
        clock.advance(seconds=2)
        worker.wake()
        assert (await hands.begun.get()).attempts == 2
    assert (await row(catalog)).state == "completed"
    assert "fault" not in log_file.getvalue()


async def first_attempt(catalog: Catalog) -> int | None:
    """When the one job was first tried, as far as that counts."""

    def asked(tables: Tables) -> int | None:
        ((at,),) = tables.connection.execute("SELECT first_attempt_at FROM jobs").fetchall()
        return at if at is None else int(at)

    return await catalog.write(asked)


async def test_who_keeps_no_time_ends_no_lease_while_it_leaps(
    catalog: Catalog, clock: FrozenClock, hands: Hands
) -> None:
    """Nobody could renew a lease during an outage; whoever keeps the time puts that right first."""
    await want(catalog, 1)

    def lease_it(tables: Tables) -> None:
        note_time(tables, now=clock())
        tables.jobs.claim(FETCH, limit=1, worker="other", lease_seconds=30, now=clock())

    await catalog.write(lease_it)
    clock.advance(seconds=60)
    heard: list[datetime] = []
    bench = Bench(perform=hands.perform, slots=1, per_host=1)
    worker = Worker(
        catalog, {FETCH: bench}, name="w", now=clock, keeps_time=False, hear=heard.append
    )
    async with at_work(worker):
        while not heard:
            await asyncio.sleep(0)
        found = await row(catalog)
        assert (found.state, found.attempts) == ("running", 1)
        await catalog.write(lambda tables: note_time(tables, now=clock()))
        clock.advance(seconds=61)
        await catalog.write(lambda tables: tables.deliveries.beat("archive", now=clock()))
        hands.may_end.set()
        worker.wake()
        assert (await hands.begun.get()).attempts == 2


async def test_whoever_was_taken_over_from_leaves_at_once(
    catalog: Catalog, clock: FrozenClock, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is under way is the other node's to do; nobody waits for its end, or tries for ever."""
    await want(catalog, 1)
    worker = worker_of(catalog, clock, hands.perform)
    running = asyncio.create_task(worker.run(asyncio.Event(), drain_seconds=2 * PATIENCE_SECONDS))
    await hands.begun.get()

    async def write(_work: object) -> None:
        raise LedElsewhereError("another node")

    monkeypatch.setattr(catalog, "write", write)
    worker.wake()
    with pytest.raises(LedElsewhereError):
        await asyncio.wait_for(running, PATIENCE_SECONDS)
    assert hands.at_work.total() == 0


async def test_an_outcome_that_cannot_be_written_is_tried_again(
    catalog: Catalog, clock: FrozenClock, log_file: io.StringIO
) -> None:
    """The work is done and safe; a full disk delays its row, and costs no second performance.

    Once it is written, and not before, it is counted.
    """
    performed: list[Job] = []
    settling: list[Job] = []
    counted: list[int] = []

    async def perform(job: Job) -> Settle:
        performed.append(job)

        def settle(tables: Tables) -> Settled:
            settling.append(job)
            if len(settling) < 3:
                fill_disk(tables.connection)
            count = partial(counted.append, len(settling))
            return replace(completed(job)(tables), count=count)

        return settle

    await want(catalog, 1)
    async with at_work(worker_of(catalog, clock, perform)):
        while len(settling) < 3:
            await asyncio.sleep(0)
    assert (await row(catalog)).state == "completed"
    assert (len(performed), counted) == (1, [3])
    said = [line for line in log_file.getvalue().splitlines() if "catalog unavailable" in line]
    assert sum('"job": 1' in line for line in said) == 2


async def test_an_outcome_that_is_a_bug_is_left_to_the_lease(
    catalog: Catalog, clock: FrozenClock, hands: Hands, log_file: io.StringIO
) -> None:
    """Nothing of it is written; the lease runs out and the job is done again."""

    def bug(tables: Tables) -> Settled:
        tables.deliveries.beat("bug", now=NOON)
        raise ValueError("a bug")

    async def perform(job: Job) -> Settle:
        return bug if job.attempts == 1 else await hands.perform(job)

    await want(catalog, 1)
    hands.may_end.set()
    worker = worker_of(catalog, clock, perform)
    async with at_work(worker):
        while "could not be settled" not in log_file.getvalue():
            await asyncio.sleep(0)
        assert (await row(catalog)).state == "running"
        clock.advance(seconds=room.LEASE_SECONDS + 1)
        worker.wake()
        assert (await hands.begun.get()).attempts == 2
    assert (await row(catalog)).state == "completed"
    assert await traces(catalog) == ["done"]


# Leases -------------------------------------------------------------------------------------------


async def test_a_silent_workers_job_goes_to_another(
    catalog: Catalog, catalog_path: Path, clock: FrozenClock, log_file: io.StringIO
) -> None:
    """Once the lease has run out another worker does it, and the first one's outcome is void."""
    slow, quick = Hands(), Hands()
    quick.may_end.set()
    await want(catalog, 1)
    other_catalog = Catalog(catalog_path)
    await other_catalog.start()

    async def perform_slowly(job: Job) -> Settle:
        await slow.perform(job)
        return completed(job, trace="stale")

    async with at_work(worker_of(catalog, clock, perform_slowly, slots=1)):
        await slow.begun.get()
        clock.advance(seconds=room.LEASE_SECONDS + 1)
        async with at_work(worker_of(other_catalog, clock, quick.perform, name="worker-2")):
            assert (await quick.begun.get()).attempts == 2
        slow.may_end.set()
    assert (await row(catalog)).state == "completed"
    assert await traces(catalog) == ["done"]
    assert "lease lost" in log_file.getvalue()
    await other_catalog.close()


async def test_a_heartbeat_keeps_what_is_under_way(
    catalog: Catalog, clock: FrozenClock, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job may take longer than its lease as long as its worker lives."""
    monkeypatch.setattr(room, "HEARTBEAT_SECONDS", 0)
    lease_ends_at = NOON + timedelta(seconds=20 + room.LEASE_SECONDS)

    def lease_until(tables: Tables) -> int:
        (until,) = tables.connection.execute("SELECT lease_until FROM jobs").fetchone()
        return int(until)

    await want(catalog, 1)
    worker = worker_of(catalog, clock, hands.perform)
    async with at_work(worker):
        await hands.begun.get()
        clock.advance(seconds=20)
        while await catalog.write(lease_until) < lease_ends_at.timestamp() * 1000:
            await asyncio.sleep(0)
        clock.advance(seconds=room.LEASE_SECONDS)
        assert await catalog.write(lambda tables: tables.jobs.recover(now=clock())) == 0
        hands.may_end.set()
    assert (await row(catalog)).attempts == 1


# Stopping -----------------------------------------------------------------------------------------


async def test_what_is_under_way_is_finished_before_the_end(
    catalog: Catalog, clock: FrozenClock, hands: Hands
) -> None:
    """A worker told to stop begins nothing more and lets what it has begun come to its end."""
    worker = worker_of(catalog, clock, hands.perform, slots=1)
    await want(catalog, 1, 2)
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop, drain_seconds=20))
    await hands.begun.get()
    stop.set()
    hands.may_end.set()
    await running
    assert [(await row(catalog, n)).state for n in (1, 2)] == ["completed", "available"]
    assert hands.begun.empty()


async def test_what_is_late_is_given_back(
    catalog: Catalog, clock: FrozenClock, hands: Hands
) -> None:
    """What does not end in time is broken off and available again, its attempt not counted."""
    await want(catalog, 1, 2)
    async with at_work(worker_of(catalog, clock, hands.perform), drain_seconds=0):
        for _ in range(2):
            await hands.begun.get()
    rows = [await row(catalog, n) for n in (1, 2)]
    assert [(it.state, it.attempts) for it in rows] == [("available", 0)] * 2
    assert hands.at_work.total() == 0


async def test_an_outage_at_the_end_is_left_to_the_leases(
    catalog: Catalog,
    catalog_path: Path,
    clock: FrozenClock,
    hands: Hands,
    log_file: io.StringIO,
) -> None:
    """What cannot be given back is logged, and the worker still ends in order."""
    await want(catalog, 1)
    worker = worker_of(catalog, clock, hands.perform)
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop, drain_seconds=0))
    await hands.begun.get()
    stop.set()
    with locked(catalog_path):
        worker.wake()
        await running
    assert "catalog unavailable" in log_file.getvalue()
    assert (await row(catalog)).state == "running"


async def test_an_idle_worker_stops_at_once(
    catalog: Catalog, clock: FrozenClock, hands: Hands
) -> None:
    """With nothing under way there is nothing to wait for."""
    async with at_work(worker_of(catalog, clock, hands.perform)):
        pass
    assert hands.begun.empty()
