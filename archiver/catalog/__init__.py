"""The catalog: generations, slots, jobs, assets, search. What was understood from the inboxes.

All SQL about them lives in this package, a file to a table. Whoever changes something hands
`Catalog.write` a function from the tables to a result; it runs alone, in one transaction, on the
writer's thread, together with whatever else waits for the same commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from weakref import finalize

from archiver.catalog.cards import Cards
from archiver.catalog.counts import Counts
from archiver.catalog.credits import Credits
from archiver.catalog.deliveries import Deliveries
from archiver.catalog.fixity import FixityTables
from archiver.catalog.forgetting import Forgetting
from archiver.catalog.generations import Generations
from archiver.catalog.jobs import Jobs
from archiver.catalog.leaps import Leaps
from archiver.catalog.notices import Notices
from archiver.catalog.orders import Orders
from archiver.catalog.outcomes import Outcomes
from archiver.catalog.overview import Overview
from archiver.catalog.previews import Previews
from archiver.catalog.renders import Renders
from archiver.catalog.segmenting import Segmenting
from archiver.catalog.stores import IN_A_FILE, Search, Store, store_of
from archiver.catalog.tombstones import Tombstones
from archiver.catalog.unsafe import UnsafeSlots
from archiver.database import Connection
from archiver.prunings import Prunings
from archiver.writer import WriterThread

T = TypeVar("T")


class Tables:
    """All tables of the catalog, on one connection and in one transaction."""

    def __init__(self, connection: Connection, search: Search = IN_A_FILE) -> None:
        self.connection = connection
        self._time = search.time
        self.generations = Generations(connection)
        self.jobs = Jobs(connection)
        self.leaps = Leaps(connection)
        self.notices = Notices(connection)
        self.orders = Orders(connection)
        self.renders = Renders(connection)
        self.deliveries = Deliveries(connection)
        self.outcomes = Outcomes(connection)
        self.credits = Credits(connection)
        self.texts = search.texts(connection)
        self.cards = Cards(connection)
        self.walks = search.walks(connection)
        self.unsafe = UnsafeSlots(connection)
        self.previews = Previews(connection)
        self.fixity = FixityTables(connection)
        self.tombstones = Tombstones(connection)
        self.forgetting = Forgetting(connection)
        self.segmenting = Segmenting(connection)
        self.prunings = Prunings(connection)
        self.counts = Counts(connection)
        self.overview = Overview(connection)

    def time(self, own: Callable[[], datetime]) -> datetime:
        """What time it is for all who write here; `own` is this process's clock."""
        return self._time(self.connection, own)


class Catalog:
    """The writing side of one process."""

    def __init__(self, where: Path | str, *, leads: bool = False) -> None:
        """`where` is a file of SQLite's, or the URL of a database on PostgreSQL.

        There, of all that are made to lead, on whatever host, one at a time can write.
        """
        self._store = store_of(where)
        self._writer: WriterThread[Any, Callable[[Tables], Any], Any] = WriterThread(
            "catalog", self._store.for_writing(leads=leads), partial(_commit, self._store)
        )

    async def start(self, *, opened: bool = True) -> None:
        """Opens the catalog, which must have been migrated; raises CatalogUnavailableError, and
        LedElsewhereError where another leads: then it may be called again.

        Unless `opened`: then the first write opens it, and whoever writes is told if it cannot.
        Nobody puts another in its place until `close`.
        """
        self._let_go = finalize(self, self._store.hold())
        try:
            await self._writer.start(opened=opened)
        except self._store.error as error:
            self._let_go()
            raise self._store.unavailable(error) from None

    async def write(self, work: Callable[[Tables], T]) -> T:
        """Runs `work` in a transaction of its own and returns its result once that is durable.

        It changes nothing but tables: it is carried out anew where another's failure beside it has
        undone both. What `work` raises undoes its own changes and is raised here; a commit that
        fails raises CatalogUnavailableError.
        """
        try:
            result: T = await self._writer.put(work)
        except self._store.error as error:
            if self._store.is_data_fault(error):
                raise self._store.harmless(error) from None
            raise self._store.unavailable(error) from None
        return result

    async def close(self) -> None:
        """Commits what waits and closes the file."""
        await self._writer.close()
        self._let_go()


class CatalogReader:
    """The reading side: a pool of connections that cannot write, used from threads."""

    def __init__(self, where: Path | str) -> None:
        self._store = store_of(where)
        self._free: list[Any] = []

    @contextmanager
    def view(self) -> Iterator[Tables]:
        """The tables as of now, all from one moment; raises CatalogUnavailableError."""
        try:
            connection = self._begun()
        except self._store.error as error:
            raise self._store.unavailable(error) from None
        try:
            yield Tables(connection, self._store.search)
            connection.execute("COMMIT")
        except self._store.error as error:
            connection.close()
            raise self._store.unavailable(error) from None
        except BaseException:
            connection.close()
            raise
        self._free.append(connection)

    def _begun(self) -> Any:
        """A connection in a transaction; one at rest may have been broken off meanwhile."""
        while self._free:
            connection = self._free.pop()
            try:
                self._store.begin_view(connection)
            except self._store.error:
                connection.close()
                continue
            return connection
        connection = self._store.for_reading()
        try:
            self._store.begin_view(connection)
        except self._store.error:
            connection.close()
            raise
        return connection

    async def read(self, work: Callable[[Tables], T]) -> T:
        """Runs `work` on a thread of its own, so that a slow search stalls nobody."""

        def run() -> T:
            with self.view() as tables:
                return work(tables)

        return await asyncio.to_thread(run)

    def close(self) -> None:
        """Closes the connections that are at rest."""
        while self._free:
            self._free.pop().close()


def _commit(
    store: Store, connection: Any, works: Sequence[Callable[[Tables], Any]]
) -> Sequence[Any | Exception]:
    """One commit for all of `works`; each fails alone, undone to where it began."""
    done = _all_or_none(store, connection, works) if store.is_far and len(works) > 1 else None
    return _one_by_one(store, connection, works) if done is None else done


def _all_or_none(
    store: Store, connection: Any, works: Sequence[Callable[[Tables], Any]]
) -> Sequence[Any] | None:
    """One commit for all of `works`, which seldom fail, without a journey for each savepoint; None
    if one of them has failed, and nothing was done."""
    tables = Tables(connection, store.search)
    store.begin(connection)
    try:
        outcomes = [work(tables) for work in works]
    except Exception as error:
        if isinstance(error, store.error) and not store.is_data_fault(error):
            raise
        connection.execute("ROLLBACK")
        return None
    store.commit(connection)
    return outcomes


def _one_by_one(
    store: Store, connection: Any, works: Sequence[Callable[[Tables], Any]]
) -> Sequence[Any | Exception]:
    """One commit for all of `works`, each undone to where it began if it fails.

    That is the transaction's own beginning for the first: a savepoint would have SQLite keep
    each page that it changes, and sift through them at every statement.
    """
    tables = Tables(connection, store.search)
    store.begin(connection)
    outcomes: list[Any] = []
    for work in works:
        if outcomes:
            connection.execute("SAVEPOINT work")
        try:
            outcome = work(tables)
        except Exception as error:
            if isinstance(error, store.error) and not store.is_data_fault(error):
                raise  # of the database: nothing of this batch can be trusted
            outcome = error
            if outcomes:
                connection.execute("ROLLBACK TO work")
            else:
                connection.execute("ROLLBACK")
                store.begin(connection)
        if outcomes:
            connection.execute("RELEASE work")
        outcomes.append(outcome)
    store.commit(connection)
    return outcomes
