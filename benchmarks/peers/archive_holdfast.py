"""The role `archive` without its process: real inbox, catalog, worker, egress and bucket.

The clock runs from the first claim until the last row is committed; that the links were heard of
and absorbed before is `benchmarks.absorb`'s to measure. `--seals` writes the manifests too.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
from ipaddress import ip_network
from pathlib import Path
from random import random
from urllib.parse import urlsplit

import uvloop

from archiver import clock, log
from archiver.blobs.opening import open_blob_store
from archiver.body import Budget
from archiver.capture import Capture
from archiver.catalog import Catalog, CatalogReader
from archiver.catalog.schema import migrate
from archiver.egress import Egress, EgressPolicy
from archiver.inbox.stores import inbox_store
from archiver.metrics import JOBS_SETTLED
from archiver.seal import Seal
from archiver.store import Store
from archiver.work import JobKind
from archiver.worker import Bench, Worker
from benchmarks.heard import fill
from benchmarks.meter import Meter, Transfers
from receiver.absorb import Absorb
from receiver.inboxes import Inboxes
from receiver.settings import Archive

MEMORY_BYTES = Archive().memory_bytes


def settled(kind: str, outcome: str) -> int:
    """How many jobs came to that."""
    (counter,) = JOBS_SETTLED.labels(kind, outcome).collect()
    return int(counter.samples[0].value)


async def main(folder: Path, told: Transfers, *, seals: bool) -> None:
    """Fills the inbox, absorbs it, and then fetches against the clock."""
    path = folder / "catalog.db"
    migrate(path)
    store = inbox_store(path, folder=folder / "inbox", node="here")
    await fill(store.writer("receive"), [told.url(n) for n in range(told.count)])
    catalog, reader, inboxes = Catalog(path), CatalogReader(path), Inboxes(store)
    await catalog.start()
    absorb = Absorb(catalog, inboxes, now=clock.now, work_planned=lambda: None)
    while await absorb.step():
        pass
    blobs = open_blob_store(f"s3://{told.bucket}", endpoint=told.endpoint, region="us-east-1")
    await blobs.check()
    policy = EgressPolicy(
        allow_http=True,
        allow_ports=frozenset({urlsplit(told.source).port or 80}),
        allow_networks=(ip_network("127.0.0.0/8"),),
    )
    async with Egress(policy) as egress:
        capture = Capture(
            egress=egress,
            store=Store(blobs, Budget(MEMORY_BYTES), folder / "spool"),
            catalog=reader,
            reveal=inboxes.reveal,
            download_hosts=lambda _: ["127.0.0.1"],
            patience_seconds=900,
            now=clock.now,
            random=random,
        )
        seal = Seal(blobs=blobs, catalog=reader, now=clock.now, random=random)
        benches = {
            JobKind.FETCH: Bench(perform=capture.perform, slots=told.workers, per_host=told.workers)
        }
        if seals:
            benches[JobKind.SEAL] = Bench(perform=seal.perform, slots=8, per_host=8)
        worker = Worker(catalog, benches, name="bench", now=clock.now)
        stop = asyncio.Event()
        meter = Meter()
        running = asyncio.create_task(worker.run(stop, drain_seconds=20))
        for kind, outcome in (("fetch", "archived"), *([("seal", "sealed")] if seals else ())):
            while settled(kind, outcome) < told.count:
                await asyncio.sleep(0.005)
        meter.tell(told.count)
        stop.set()
        worker.wake()
        await running
    await blobs.close()
    await catalog.close()


log.configure("archive")
with tempfile.TemporaryDirectory() as name:
    gc.freeze()  # as the role does
    uvloop.run(main(Path(name), Transfers.told(), seals="--seals" in sys.argv))
