"""The role `archive`: absorbs the inboxes, does the catalog's jobs, and alone migrates it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from random import SystemRandom

from archiver import clock, tracing
from archiver.blobs import BlobStore
from archiver.body import Budget
from archiver.capture import Capture
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.migrating import migrate
from archiver.derive import Derive
from archiver.deriving.pool import Pool
from archiver.desk.uploads import sweep as sweep_uploads
from archiver.egress import Egress, EgressPolicy
from archiver.errors import BucketError, CatalogUnavailableError, LedElsewhereError
from archiver.inbox.pruning import Pruner
from archiver.indexing import fill
from archiver.leaps import note_time, settle_leap
from archiver.ledger import keep
from archiver.lifecycle import release_links
from archiver.log import logger
from archiver.metrics import LINKS_EXPIRED
from archiver.process import worker_name
from archiver.seal import Seal
from archiver.sqlite import require_safe_version
from archiver.store import Store
from archiver.work import JobKind
from archiver.worker import Bench, Worker
from receiver.absorb import Absorb
from receiver.accounts import open_accounts
from receiver.asking import NOT_POLLABLE, Asking
from receiver.inboxes import Inboxes
from receiver.poll import Poll
from receiver.providers import PROVIDERS
from receiver.roles import notifying
from receiver.roles.backups import back_up
from receiver.roles.bucket import bucket_of
from receiver.roles.nodes import helping, lead
from receiver.roles.process import DRAIN_SECONDS, Orders, main
from receiver.roles.restored import owned
from receiver.roles.upkeep import index_is_lost, keep_up
from receiver.settings import Config
from receiver.signing import signer_of
from receiver.stores import inboxes_of
from receiver.upstream import Upstream

BEAT_SECONDS = 5.0
SWEEP_SECONDS = 24 * 3600.0
# Copying takes whatever processor there is; acknowledgements go first.
NICENESS = 10
# Not seals: of two nodes that seal one generation the slower might write what it was before.
_SHARED = (JobKind.FETCH, JobKind.DERIVE)
# A clock that ran ahead may have given out leases until any time at all.
_AFTER_ALL_LEASES = datetime.max.replace(tzinfo=UTC)

INDEX_LOST = (
    "the index is empty, and the bucket holds an archive: holdfast rebuild brings the index back. "
    "Until then webhooks are taken in, and nothing is absorbed"
)


async def run(orders: Orders, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Absorbs and works until told to stop, then finishes what is under way.

    It also ends once another node has this work, so that its successor begins with nothing that was
    known before, and stands by.
    """
    try:
        await _run(orders.config, stop, ready)
    except* LedElsewhereError:
        logger().warning("another node has taken over from this node's archive role")


async def _run(config: Config, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    os.nice(NICENESS)
    require_safe_version(allow_unsafe=config.catalog.allow_unsafe_sqlite)
    where = config.catalog.where
    await asyncio.to_thread(migrate, where)
    catalog, reader = Catalog(where, leads=True), CatalogReader(where)
    blobs = bucket_of(config, reader)
    inboxes = Inboxes(inboxes_of(config.catalog))
    time = clock.Corrected()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(blobs.close)
        stack.callback(reader.close)
        stack.callback(inboxes.close)
        egress = await stack.enter_async_context(Egress(egress_policy(config)))
        benches = _benches(config, egress, blobs, reader, inboxes, time)
        benches[JobKind.DERIVE] = _derives(config, blobs, reader, stack, time)
        tracing.begin(config.tracing.endpoint, "archive")
        stack.push_async_callback(asyncio.to_thread, tracing.end)
        look_after, helper = partial(_look_after, blobs, reader), None
        if config.catalog.is_on_server:
            helper = await stack.enter_async_context(
                helping(config.catalog, _shared(benches), look_after, stop, time)
            )
            benches = {kind: it for kind, it in benches.items() if kind not in _SHARED}
        if not await lead(catalog, stop, ready):
            return
        stack.push_async_callback(catalog.close)
        benches[JobKind.POLL] = await _polls(config, reader, stack, time)
        benches |= await notifying.benches(config.notify, reader, stack)
        await stack.enter_async_context(owned(config.catalog))
        worker = Worker(catalog, benches, name=worker_name(), now=time)
        absorb = Absorb(
            catalog, inboxes, now=clock.now, work_planned=partial(_wake, worker, helper)
        )
        if await index_is_lost(blobs, reader):
            logger().error(INDEX_LOST)
            ready()
            await stop.wait()
            return
        await catalog.write(_release_holds)
        await catalog.write(partial(_take_back_leases, alone=helper is None))
        await catalog.write(partial(notifying.begin, config.notify))
        ready()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(absorb.run(stop))
            tasks.create_task(worker.run(stop, drain_seconds=DRAIN_SECONDS))
            tasks.create_task(_beat(catalog, stop))
            apart = [
                _index(catalog),
                back_up(config, blobs, catalog, reader),
                keep_up(config, blobs, catalog, reader, inboxes),
            ]
            if helper is None:
                apart.append(look_after())
            beside = [tasks.create_task(it) for it in apart]
            await stop.wait()
            for task in beside:
                task.cancel()


def _shared(benches: Mapping[JobKind, Bench]) -> dict[JobKind, Bench]:
    """What every node does."""
    return {kind: bench for kind, bench in benches.items() if kind in _SHARED}


def _wake(worker: Worker, helper: Worker | None) -> None:
    """There may be work for both."""
    worker.wake()
    if helper is not None:
        helper.wake()


def _benches(
    config: Config,
    egress: Egress,
    blobs: BlobStore,
    reader: CatalogReader,
    inboxes: Inboxes,
    now: Callable[[], datetime],
) -> dict[JobKind, Bench]:
    random = SystemRandom().random
    spool = config.catalog.folder / "spool"
    capture = Capture(
        egress=egress,
        store=Store(blobs, Budget(config.archive.memory_bytes), spool),
        catalog=reader,
        reveal=inboxes.reveal,
        download_hosts=lambda provider: download_hosts(config, provider),
        patience_seconds=config.archive.patience_seconds,
        now=now,
        random=random,
    )
    for provider in PROVIDERS:
        LINKS_EXPIRED.labels(provider)  # a rise is seen only of what was there before
    signer = signer_of(config)
    seal = Seal(blobs=blobs, catalog=reader, now=now, random=random, signer=signer)
    archive = config.archive
    return {
        JobKind.FETCH: Bench(
            perform=capture.perform, slots=archive.fetches, per_host=archive.fetches_per_host
        ),
        JobKind.SEAL: Bench(perform=seal.perform, slots=archive.seals, per_host=archive.seals),
    }


async def _polls(
    config: Config, reader: CatalogReader, stack: AsyncExitStack, now: Callable[[], datetime]
) -> Bench:
    """What providers answer is heard by this role, in an inbox of its own."""
    catalog, store = config.catalog, inboxes_of(config.catalog)
    inbox = store.writer("archive")
    await inbox.start()
    stack.push_async_callback(inbox.close)
    pruner = Pruner(inbox=inbox, orders=partial(store.orders, "archive"))
    await stack.enter_async_context(pruner.at_work())
    asking = Asking(
        apis=config.providers.all,
        upstream=await stack.enter_async_context(Upstream()),
        accounts=open_accounts(catalog.folder),
        now=now,
        monotonic=clock.monotonic,
    )
    poll = Poll(asking=asking, catalog=reader, inbox=inbox, now=now, random=SystemRandom().random)
    return Bench(perform=poll.perform, slots=config.archive.polls, per_host=config.archive.polls)


def _derives(
    config: Config,
    blobs: BlobStore,
    reader: CatalogReader,
    stack: AsyncExitStack,
    now: Callable[[], datetime],
) -> Bench:
    """Pictures are decoded by processes of their own, when nobody else wants the processor."""
    spool, children = config.catalog.folder / "spool" / "derive", config.archive.derives
    shutil.rmtree(spool, ignore_errors=True)  # what a crash has left there
    pool = Pool(children=children)
    stack.push_async_callback(pool.close)
    derive = Derive(
        blobs=blobs,
        catalog=reader,
        pool=pool,
        spool=spool,
        now=now,
        random=SystemRandom().random,
    )
    return Bench(perform=derive.perform, slots=children, per_host=children)


async def _index(catalog: Catalog) -> None:
    """Make what an older version took in as findable as all else."""
    try:
        count = await fill(catalog)
    except CatalogUnavailableError as error:
        logger().error("not everything is indexed; holdfast reindex does it", error=str(error))
    else:
        if count:
            logger().info("indexed", generations=count)


async def _look_after(blobs: BlobStore, reader: CatalogReader) -> None:
    """Check and sweep at the start and once a day; fetches alone wait for an unusable bucket."""
    while True:
        try:
            await blobs.check()
        except BucketError as error:
            logger().error("the bucket cannot be used", error=str(error))
        else:
            await _sweep(blobs, reader)
        await asyncio.sleep(SWEEP_SECONDS)


async def _sweep(blobs: BlobStore, reader: CatalogReader) -> None:
    """Take away what crashes left; no put lasts as long as a day."""
    try:
        count = await blobs.sweep(begun_before=clock.now() - timedelta(seconds=SWEEP_SECONDS))
        count += await sweep_uploads(blobs, reader)
    except (BucketError, CatalogUnavailableError) as error:
        logger().warning("unfinished uploads could not be removed", error=str(error))
    else:
        if count:
            logger().info("unfinished uploads removed", count=count)


def egress_policy(config: Config) -> EgressPolicy:
    """What fetching a result may do."""
    return EgressPolicy(
        allow_http=config.egress.allow_http,
        allow_ports=frozenset(config.egress.allow_ports),
        allow_networks=config.egress.networks,
        proxy=config.egress.proxy_url,
        max_bytes=config.egress.max_bytes,
    )


def download_hosts(config: Config, provider: str) -> Collection[str]:
    """From where that provider's results may come."""
    api = config.providers.of(provider)
    return api.download_hosts if api else ()


def _release_holds(tables: Tables) -> None:
    """A start may bring the setting that a held fetch was waiting for, so each is tried again."""
    now = clock.now()
    for number in tables.jobs.held_for_operator():
        before = tables.generations.load_slot(number)
        if before is not None:
            keep(tables, before, release_links(before), now=now)
    tables.jobs.hasten(JobKind.POLL, NOT_POLLABLE, now=now)


def _take_back_leases(tables: Tables, *, alone: bool) -> None:
    """Where one service at a time has an archive, whoever held a lease before this start is dead.

    But for renderers, who may stand elsewhere and outlive it; of other nodes nobody is dead before
    his lease has run out. After the holds: a job that its worker's death has held stays so until
    the next start.
    """
    now = tables.time(clock.now)
    settle_leap(tables, now=now)
    if alone:
        tables.jobs.recover(now=now, lapsed_at=_AFTER_ALL_LEASES, but=JobKind.RENDER)


async def _beat(catalog: Catalog, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await catalog.write(lambda tables: note_time(tables, now=tables.time(clock.now)))
        except CatalogUnavailableError as error:
            logger().error("catalog unavailable", error=str(error))
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), BEAT_SECONDS)


if __name__ == "__main__":
    main("archive", run)
