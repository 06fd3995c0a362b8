"""Claim, perform, settle: the loop that does the catalog's jobs.

A performer does the work outside of any transaction and answers with a `Settle`: a function that
writes the outcome, the job's end and what follows from both in one. If the lease passed to
someone else meanwhile, that transaction undoes itself and nothing has happened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from archiver import tracing
from archiver.catalog import Catalog, Tables
from archiver.errors import (
    CatalogUnavailableError,
    InboxUnavailableError,
    LeaseLostError,
    LedElsewhereError,
)
from archiver.leaps import is_time_steady, settle_leap
from archiver.log import Outage, logger
from archiver.metrics import JOBS_SETTLED
from archiver.work import Job, JobKind, JobState


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What a settled job came to: a word for the metrics, and what the log should say of it.

    `count` adds to a metric of the performer's own, once the outcome is committed.
    """

    outcome: str
    says: Mapping[str, object]
    count: Callable[[], None] = lambda: None


Settle = Callable[[Tables], Settled]
Performer = Callable[[Job], Awaitable[Settle]]

LEASE_SECONDS = 30.0
HEARTBEAT_SECONDS = 10.0
IDLE_SECONDS = 0.25
UNAVAILABLE_SECONDS = 1.0
# After a bug of ours the job waits this long, so that it neither spins nor is lost.
FAULT_PAUSE = timedelta(seconds=30)
# What met a database that is being started again is tried again soon.
PUT_OFF = timedelta(seconds=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """What one kind of job is given: who performs it, and how many at once."""

    perform: Performer
    slots: int
    per_host: int


class Worker:
    """Works on every kind it has a bench for; kinds do not compete for each other's slots."""

    def __init__(
        self,
        catalog: Catalog,
        benches: Mapping[JobKind, Bench],
        *,
        name: str,
        now: Callable[[], datetime],
        keeps_time: bool = True,
        hear: Callable[[datetime], None] = lambda moment: None,
    ) -> None:
        """`keeps_time` is for the one worker of a catalog that looks after leaps of its clock.

        `hear` is told with each claim what time it is for all who write in the catalog.
        """
        self._catalog = catalog
        self._benches = benches
        self._name = name
        self._now = now
        self._keeps_time = keeps_time
        self._outage = Outage("catalog unavailable", "the catalog is available again")
        self._hear = hear
        self._running: dict[asyncio.Task[None], Job] = {}
        self._performing: dict[tuple[int, int], Job] = {}
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Says that there may be work, so that nobody waits for the next look."""
        self._wake.set()

    async def run(self, stop: asyncio.Event, *, drain_seconds: float) -> None:
        """Works until `stop`, then finishes what is under way and gives the rest back.

        Raises LedElsewhereError as soon as another node has the catalog's work: it does anew what
        is under way here.
        """
        heartbeat = asyncio.create_task(self._heartbeat())
        try:
            while not stop.is_set():
                self._wake.clear()
                try:
                    await self._claim()
                except LedElsewhereError:
                    drain_seconds = 0.0
                    raise
                except CatalogUnavailableError as error:
                    self._outage.met(error)
                else:
                    self._outage.over()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), IDLE_SECONDS)
        finally:
            await self._drain(drain_seconds)
            heartbeat.cancel()

    async def _claim(self) -> None:
        room = {kind: self._room(kind, bench) for kind, bench in self._benches.items()}

        def claim(tables: Tables) -> list[Job]:
            # Not before its turn came, or time would seem to go back.
            now = tables.time(self._now)
            self._hear(now)
            if self._keeps_time:
                settle_leap(tables, now=now)
            tables.jobs.promote(now=now)
            # Of a time that has leapt nobody's lease has run out by rights.
            if self._keeps_time or is_time_steady(tables, now=now):
                tables.jobs.recover(now=now)
            return [
                job
                for kind, (limit, busy_hosts) in room.items()
                if limit > 0
                for job in tables.jobs.claim(
                    kind,
                    limit=limit,
                    worker=self._name,
                    lease_seconds=LEASE_SECONDS,
                    now=now,
                    busy_hosts=busy_hosts,
                )
            ]

        jobs = await self._catalog.write(claim)
        for job in jobs:
            task = asyncio.create_task(self._perform(job), name=f"{job.kind} {job.id}")
            self._running[task] = job
            self._performing[job.id, job.fence] = job
            task.add_done_callback(self._running.__delitem__)
        if jobs:
            self._wake.set()  # there may be more where these came from

    def _room(self, kind: JobKind, bench: Bench) -> tuple[int, list[str]]:
        """How many more may be claimed at once, and of which hosts none.

        A claim does not count hosts, so it is no larger than what the fullest of them may take.
        What is performed and only waits for its commit takes nobody's place.
        """
        hosts = [job.host for job in self._performing.values() if job.kind is kind]
        counts = Counter(host for host in hosts if host)
        busy = [host for host, count in counts.items() if count >= bench.per_host]
        fullest = max((count for count in counts.values() if count < bench.per_host), default=0)
        return min(bench.slots - len(hosts), bench.per_host - fullest), busy

    async def _perform(self, job: Job) -> None:
        began_at = self._now()
        try:
            settle = await self._benches[job.kind].perform(job)
        except (CatalogUnavailableError, InboxUnavailableError) as error:
            self._outage.met(error)
            settle = self._put_off(job)
        except Exception as error:
            logger().exception("a job failed by a fault of ours", kind=job.kind, job=job.id)
            settle = self._after_fault_of_ours(job, error)
        finally:
            del self._performing[job.id, job.fence]
            self._wake.set()
        await self._settle(job, settle, began_at)

    async def _settle(self, job: Job, settle: Settle, began_at: datetime) -> None:
        while True:
            try:
                settled = await self._catalog.write(settle)
            except LedElsewhereError:
                return  # who leads now does it anew
            except CatalogUnavailableError as error:
                # The work is done and safe; only its row is missing. The fence keeps this honest.
                logger().error("catalog unavailable", job=job.id, error=str(error))
                await asyncio.sleep(UNAVAILABLE_SECONDS)
            except LeaseLostError as error:
                logger().warning("lease lost", kind=job.kind, job=job.id, error=str(error))
                return
            except Exception:
                # The lease runs out by itself and the job is done again, by us or by another.
                logger().exception("a job could not be settled", kind=job.kind, job=job.id)
                return
            else:
                JOBS_SETTLED.labels(job.kind.value, settled.outcome).inc()
                settled.count()
                logger().info(settled.outcome, kind=job.kind, job=job.id, **settled.says)
                if tracing.is_on():
                    self._trace(job, settled, began_at)
                return

    def _trace(self, job: Job, settled: Settled, began_at: datetime) -> None:
        says = {"outcome": settled.outcome, "job": job.id, **settled.says}
        of = str(says.pop("provider", "")), str(says.pop("generation", ""))
        if all(of):
            tracing.span(job.kind.value, of, began_at=began_at, ended_at=self._now(), says=says)

    def _put_off(self, job: Job) -> Settle:
        """What it needed could not be asked just now, which says nothing of the job itself."""
        now = self._now()

        def settle(tables: Tables) -> Settled:
            tables.jobs.finish(
                job, JobState.SCHEDULED, run_at=now + PUT_OFF, forgiven=True, now=now
            )
            return Settled(outcome="put off", says={})

        return settle

    def _after_fault_of_ours(self, job: Job, error: Exception) -> Settle:
        now = self._now()
        reason = f"a fault of holdfast: {type(error).__name__}"

        overdue = job.deadline_at is not None and now >= job.deadline_at
        state = JobState.HELD if overdue else JobState.SCHEDULED

        def settle(tables: Tables) -> Settled:
            run_at = None if overdue else now + FAULT_PAUSE
            tables.jobs.finish(job, state, reason=reason, run_at=run_at, now=now)
            return Settled(outcome="fault", says={"reason": reason})

        return settle

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            jobs = list(self._running.values())

            def beat(tables: Tables, jobs: list[Job] = jobs) -> None:
                now = tables.time(self._now)
                tables.jobs.heartbeat(jobs, lease_seconds=LEASE_SECONDS, now=now)

            with contextlib.suppress(CatalogUnavailableError):
                await self._catalog.write(beat)

    async def _drain(self, seconds: float) -> None:
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=seconds)
        jobs = [self._running[task] for task in late]
        for task in late:
            task.cancel()
        if jobs:
            await asyncio.wait(late)
            try:
                await self._catalog.write(lambda tables: tables.jobs.release(jobs))
            except LedElsewhereError:
                return
            except CatalogUnavailableError as error:
                # Their leases run out by themselves.
                logger().error("catalog unavailable", error=str(error))
