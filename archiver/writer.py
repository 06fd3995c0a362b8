"""The one thread that writes a database, many waiting writes in one commit.

The event loop never waits for a disk: it hands over an item and awaits a future. Whatever has
gathered while the last commit ran is the next batch, so batches grow by themselves under load
and a lone item waits for nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

from archiver.clock import monotonic

Item = TypeVar("Item")
Result = TypeVar("Result")
Connection = TypeVar("Connection")

# How often a database is looked after.
_LOOK_SECONDS = 5.0

Work = Callable[[Connection, Sequence[Item]], Sequence[Result | Exception]]


class Database(Protocol[Connection]):
    """What is written: how a driver opens it, and what it wants done beside the writing."""

    @property
    def error(self) -> type[Exception]:
        """The driver's own error, which all below may raise."""
        ...

    def connect(self) -> Connection:
        """A connection for the one thread that writes."""
        ...

    def begin_anew(self, connection: Connection) -> None:
        """To be done on the first connection after a fault, before the next commit."""
        ...

    def look_after(self, connection: Connection) -> None:
        """To be done now and then, between two commits."""
        ...

    def finish(self, connection: Connection) -> None:
        """To be done before the last connection is closed; it may fail without harm."""
        ...

    def close(self, connection: Connection) -> None:
        """Lets a connection go, whatever state it is in; one that fails to close is as gone."""
        ...


class WriterThread(Generic[Connection, Item, Result]):
    """Runs `work(connection, batch)` on its own thread and hands each item its result.

    `work` makes one durable commit per call and returns a result or an exception per item; if it
    raises, every item of the batch gets that exception, and the connection is opened afresh,
    because after an I/O error nothing about the old one, nor about its log, can be trusted.
    """

    def __init__(
        self,
        name: str,
        database: Database[Connection],
        work: Work[Connection, Item, Result],
        *,
        max_batch: int = 256,
    ) -> None:
        self._database = database
        self._work = work
        self._max_batch = max_batch
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()  # the semaphore that is written in C
        self._idle = True
        self._closing = False
        self._connection: Connection | None = None
        self._is_doubtful = False
        self._look_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    async def start(self, *, opened: bool = True) -> None:
        """Opens the database once here, so that what cannot work at all is said at start-up.

        Unless `opened`: then the first batch opens it, and nobody is told if it cannot.
        """
        if opened:
            self._connection = await asyncio.to_thread(self._database.connect)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """How many items wait for the next commit."""
        return len(self._waiting)

    def put(self, item: Item) -> asyncio.Future[Result]:
        """Queues one item; the future resolves after the commit that holds it, not before."""
        future: asyncio.Future[Result] = self._loop.create_future()
        if self._closing:
            future.set_exception(self._database.error("the writer is closing"))
            return future
        self._waiting.append((item, future))
        if self._idle:
            # Once per turn of the loop, so that a batch holds whatever this turn brought.
            self._idle = False
            self._loop.call_soon(self._wake.put, None)
        return future

    async def close(self) -> None:
        """Writes all that waits and ends the thread."""
        self._closing = True
        self._wake.put(None)
        if self._thread.is_alive():
            await self._ended

    def _run(self) -> None:
        while True:
            if not self._waiting:
                self._idle = True
                if not self._waiting:
                    if self._closing:
                        break
                    self._wake.get()
                self._idle = False
                continue
            count = min(len(self._waiting), self._max_batch)
            batch = [self._waiting.popleft() for _ in range(count)]
            outcome = self._commit([item for item, _ in batch])
            self._loop.call_soon_threadsafe(_resolve, [future for _, future in batch], outcome)
            self._look_after()
        self._finish()

    def _commit(self, items: list[Item]) -> Sequence[Result | Exception]:
        try:
            if self._connection is None:
                connection = self._database.connect()
                if self._is_doubtful:
                    self._database.begin_anew(connection)
                    self._is_doubtful = False
                self._connection = connection
            return self._work(self._connection, items)
        except Exception as error:
            # Whatever a batch does, the thread lives on for the next one.
            self._drop_connection()
            return [error] * len(items)

    def _look_after(self) -> None:
        if self._connection is None or monotonic() < self._look_at:
            return
        self._look_at = monotonic() + _LOOK_SECONDS
        try:
            self._database.look_after(self._connection)
        except self._database.error:
            self._drop_connection()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        self._is_doubtful = True
        if connection is not None:
            with suppress(self._database.error):
                self._database.close(connection)

    def _finish(self) -> None:
        if self._connection is not None:
            with suppress(self._database.error):
                self._database.finish(self._connection)
        self._drop_connection()
        self._loop.call_soon_threadsafe(self._ended.set_result, None)


def _resolve(
    futures: Sequence[asyncio.Future[Result]], outcome: Sequence[Result | Exception]
) -> None:
    for future, result in zip(futures, outcome, strict=True):
        if future.done():  # its waiter has gone; the commit stands all the same
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
