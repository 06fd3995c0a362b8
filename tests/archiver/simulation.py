"""The queue, the law and the performers under a simulated clock, on a real SQLite database.

Days of four workers with clocks that are wrong, that crash holding leases, and that wake up long
after their lease has passed to another, run in seconds. Nothing of the house is replaced but the
network, the bucket and the time; a seed tells the whole story again.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from archiver.capture import Capture
from archiver.catalog import Tables
from archiver.errors import FetchError, LeaseLostError
from archiver.ledger import keep
from archiver.links import url_sha256
from archiver.merging import merge
from archiver.models import (
    Asset,
    DeliveryRef,
    Fault,
    GenerationParams,
    GenerationState,
    Observation,
    Origin,
    SlotObservation,
)
from archiver.work import Job, JobKind
from tests.clocks import NOON

LEASE_SECONDS = 30.0
SWEEP_SECONDS = 5.0
# Before this, something may still be on its way in.
QUIET = timedelta(seconds=300)


@dataclass
class World:
    """What is outside the house: links that die, pictures, a bucket, and what it was asked."""

    expires_at: dict[str, datetime] = field(default_factory=dict)
    flaky: float = 0.15
    bucket: set[bytes] = field(default_factory=set)
    puts: Counter[bytes] = field(default_factory=Counter)
    dead: set[str] = field(default_factory=set)


class Simulation:
    """One seed's story; `fenced=False` and `by_deadline=False` take a safeguard away."""

    def __init__(
        self,
        tables: Tables,
        seed: int,
        *,
        workers: int = 4,
        skew_seconds: float = 3.0,
        crash: float = 0.1,
        zombie: float = 0.1,
        work_seconds: float = 4.0,
        claim_limit: int = 2,
        fenced: bool = True,
        by_deadline: bool = True,
    ) -> None:
        # Repeatable, which is the point of it.
        self.random = random.Random(seed)
        self.tables = tables
        self.world = World()
        self.violations: list[str] = []
        self.life_seconds: dict[str, float] = {}
        self._now = NOON
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._count = 0
        self._crash, self._zombie, self._work_seconds = crash, zombie, work_seconds
        self._claim_limit, self._fenced, self._by_deadline = claim_limit, fenced, by_deadline
        self._skews = [self.random.uniform(-skew_seconds, skew_seconds) for _ in range(workers)]
        self._capture = Capture(
            egress=_Links(self),  # type: ignore[arg-type]
            store=_Bucket(self),  # type: ignore[arg-type]
            catalog=_View(tables),  # type: ignore[arg-type]
            reveal=lambda link: link.location,
            download_hosts=lambda _: ("cdn",),
            patience_seconds=900,
            now=lambda: self._now,
            random=self.random.random,
        )

    def run(self, *, hours: float) -> None:
        """Plays until nothing is left to do, or so many hours have passed."""
        for worker in range(len(self._skews)):
            self.after(self.random.random(), lambda worker=worker: self._work(worker))
        self.after(1, self._sweep)
        ends_at = NOON + timedelta(hours=hours)
        while self._events and self._events[0][0] < ends_at:
            self._now, _, event = heapq.heappop(self._events)
            event()
            if self._count % 20 == 0 and self._now > NOON + QUIET and self._idle():
                return

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Has something happen later."""
        self._count += 1
        heapq.heappush(self._events, (self._now + timedelta(seconds=seconds), self._count, event))

    def hear(self, number: int, *, life_seconds: float) -> None:
        """One webhook is absorbed, that names a picture living so long; again changes nothing."""
        url = f"https://cdn/{number}.png"
        observation = Observation(
            provider="doitong",
            generation_id=str(number),
            state=GenerationState.SUCCEEDED,
            params=GenerationParams(prompt="a fox"),
            slots=(SlotObservation(index=0, url=url),),
        )
        life = timedelta(seconds=life_seconds)
        self.world.expires_at.setdefault(url, self._now + life)
        self.life_seconds[url] = life_seconds
        with self._transaction():
            before = self.tables.generations.load("doitong", str(number))
            after = merge(
                before,
                observation,
                heard_in=DeliveryRef(inbox="inbox", position=number),
                received_at=self._now,
                link_lifetime=life,
            )
            keep(self.tables, before, after, now=self._now)
            if not self._by_deadline:  # first come, first served, whatever dies meanwhile
                self._execute("UPDATE jobs SET deadline_at = NULL WHERE kind = 'fetch'")

    def states(self) -> Counter[str]:
        """How many fetch jobs stand in each state."""
        rows = self._execute("SELECT state, count(*) FROM jobs WHERE kind='fetch' GROUP BY 1")
        return Counter(dict(rows))

    def slots(self) -> Counter[str]:
        """How many slots stand in each state."""
        return Counter(self.tables.generations.count_slots_by_state())

    def _work(self, worker: int) -> None:
        if self.random.random() < 0.02:  # a pause before the claim
            self.after(self.random.random() * 90, lambda: self._work(worker))
            return
        jobs = self._claim(worker) if self.states()["available"] else []
        for job in jobs:
            fate = self.random.random()
            if fate < self._crash:
                continue  # killed while it holds the lease
            late = fate < self._crash + self._zombie
            seconds = self.random.expovariate(1 / self._work_seconds)
            seconds += LEASE_SECONDS + self.random.random() * 100 if late else 0
            self.after(seconds, lambda job=job: self._finish(job))
        busy_seconds = self._work_seconds if jobs else SWEEP_SECONDS * 4
        self.after(busy_seconds * self.random.random() + 0.1, lambda: self._work(worker))

    def _claim(self, worker: int) -> list[Job]:
        with self._transaction():
            return self.tables.jobs.claim(
                JobKind.FETCH,
                limit=self._claim_limit,
                worker=str(worker),
                lease_seconds=LEASE_SECONDS,
                now=self._now + timedelta(seconds=self._skews[worker]),
            )

    def _finish(self, job: Job) -> None:
        settle = _done(self._capture.perform(job))
        (current,) = self._execute("SELECT fence FROM jobs WHERE id=?", job.id)[0]
        shown = job if self._fenced else replace(job, fence=current)
        try:
            with self._transaction():
                settle_as = _done(self._capture.perform(shown)) if shown is not job else settle
                settle_as(self.tables)
        except LeaseLostError:
            return
        if current != job.fence:
            self.violations.append(f"a stale worker settled job {job.id}")

    def _sweep(self) -> None:
        with self._transaction():
            self.tables.jobs.recover(now=self._now)
            self.tables.jobs.promote(now=self._now)
        self.after(SWEEP_SECONDS, self._sweep)

    def _idle(self) -> bool:
        return not set(self.states()) & {"available", "scheduled", "running"}

    def _execute(self, sql: str, *values: Any) -> list[Any]:
        return self.tables.connection.execute(sql, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        connection = self.tables.connection
        connection.execute("SAVEPOINT simulated")
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK TO simulated")
            raise
        finally:
            connection.execute("RELEASE simulated")

    @property
    def now(self) -> datetime:
        """The simulated time."""
        return self._now


class _Links:
    """The network: a link that is dead answers 403, a living one fails now and then."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    @asynccontextmanager
    async def get(self, url: str, _hosts: object) -> AsyncIterator[_Answer]:
        world = self._simulation.world
        if self._simulation.now >= world.expires_at[url]:
            world.dead.add(url)
            raise FetchError(Fault.REFUSED, "the host answered 403")
        if self._simulation.random.random() < world.flaky:
            raise FetchError(Fault.SERVER, "the host answered 502")
        yield _Answer(url)


class _Answer:
    """A picture that says nothing but where it comes from."""

    declared_bytes = None
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, url: str) -> None:
        self._url = url

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._url.encode()


class _Bucket:
    """A bucket whose objects are named by what they hold: a second put of the same is absorbed."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def take_in(self, chunks: AsyncIterator[bytes], _declared: object, **given: Any) -> Asset:
        [url] = [chunk.decode() async for chunk in chunks]
        digest = url_sha256(url)
        world = self._simulation.world
        world.bucket.add(digest)
        world.puts[digest] += 1
        return Asset(
            origin=Origin.PROVIDER,
            sha256=digest,
            blob_key=f"blobs/{digest.hex()}",
            size_bytes=1,
            media_type="image/png",
            width=1,
            height=1,
            archived_at=self._simulation.now,
        )


class _View:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    @contextmanager
    def view(self) -> Iterator[Tables]:
        yield self._tables


def _done(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a simulated performer waited for something real")
