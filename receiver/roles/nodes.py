"""The archive role on one of many nodes: all of them fetch and make previews, and one leads.

Whoever leads does what is to be done once for all: absorbs, seals, asks providers, tells of what
happened and looks after the archive. A catalog in a file has one node, which leads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from archiver import clock
from archiver.catalog import Catalog
from archiver.errors import CatalogUnavailableError, LedElsewhereError
from archiver.log import logger
from archiver.process import DRAIN_SECONDS, worker_name
from archiver.work import JobKind
from archiver.worker import Bench, Worker
from receiver.settings import CatalogTable

STAND_BY_SECONDS = 1.0


@asynccontextmanager
async def helping(
    catalog: CatalogTable,
    benches: Mapping[JobKind, Bench],
    look_after: Callable[[], Coroutine[Any, Any, None]],
    stop: asyncio.Event,
    time: clock.Corrected,
) -> AsyncIterator[Worker]:
    """Works at these benches while inside, whoever leads; raises CatalogUnavailableError.

    After `stop` what is under way is finished. `look_after` looks after the bucket meanwhile;
    `time` hears what time it is on the server.
    """
    writer = Catalog(catalog.where)
    await writer.start()
    worker = Worker(writer, benches, name=worker_name(), now=time, keeps_time=False, hear=time.hear)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run(stop, drain_seconds=DRAIN_SECONDS))
            looking = tasks.create_task(look_after())
            try:
                yield worker
            finally:
                looking.cancel()
    finally:
        await writer.close()


async def lead(catalog: Catalog, stop: asyncio.Event, ready: Callable[[], None]) -> bool:
    """Returns once this node's role leads, and no other's; False at `stop`.

    Raises CatalogUnavailableError if at its start nobody can tell.
    """
    stands_by = False
    while not stop.is_set():
        try:
            await catalog.start()
        except LedElsewhereError as error:
            if not stands_by:
                logger().info("this node's archive role stands by", why=str(error))
                ready()
            stands_by = True
        except CatalogUnavailableError:
            if not stands_by:
                raise
        else:
            if stands_by:
                logger().info("this node's archive role takes over")
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), STAND_BY_SECONDS)
    return False
