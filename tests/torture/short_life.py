"""A life of the archive in one process, as a receiver and the archive's role have it, for a disk.

`python -m tests.torture.short_life FOLDER --synchronous FULL …`: deliveries come by many hands, are
absorbed, fetched and sealed by the real parts. Whatever it was told is safe it notes in the file
PROMISES of the folder, a JSON array each: ["heard", SHA-256 of the body], ["absorbed", inbox,
position], ["archived", SHA-256 of the picture].
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from ipaddress import IPv4Network
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from PIL import Image

from archiver import clock
from archiver.blobs.folder import FolderBlobs
from archiver.body import Budget
from archiver.capture import Capture
from archiver.catalog import Catalog, CatalogReader
from archiver.catalog.schema import migrate
from archiver.egress import Egress, EgressPolicy
from archiver.inbox import NewDelivery
from archiver.inbox.sqlite import SqliteInbox
from archiver.seal import Seal
from archiver.sqlite import Connection, open_writer
from archiver.store import Store
from archiver.work import JobKind
from archiver.worker import Bench, Worker
from receiver.absorb import Absorb
from receiver.inboxes import Inboxes
from tests.archiver.origin import Origin, answer, serve_origin
from tests.inboxes import inboxes_in
from tests.receiver.deliveries import webhook

PROMISES = "promises"
_HANDS = 12
_LIVES = 2  # after each the files are closed as at a service's end, and opened again
# So many pages of the log move into the database at once: often, for there the order of writing
# matters most.
_CHECKPOINT_PAGES = 60
_PAUSE_SECONDS = 0.01


def main() -> None:
    """Lives in the folder that it is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL", "OFF"), required=True)
    parser.add_argument("--deliveries", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    chosen = parser.parse_args()
    with _synchronous(chosen.synchronous):
        asyncio.run(_live(chosen.folder, chosen.deliveries, Random(chosen.seed)))


@contextmanager
def _synchronous(how: str) -> Iterator[None]:
    """Has the inbox and the catalog written that carefully; the product knows no such switch."""

    def opened(path: Path, **options: Any) -> Connection:
        connection = open_writer(path, **{**options, "synchronous": how})
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        return connection

    inbox = patch("archiver.inbox.sqlite.open_writer", opened)
    with inbox, patch("archiver.sqlite.open_writer", opened):
        yield


async def _live(folder: Path, deliveries: int, chance: Random) -> None:
    with (folder / PROMISES).open("ab", buffering=0) as file:
        async with serve_origin() as origin:
            promises = Promises(file.fileno())
            for life in range(_LIVES):
                heard = [_completed(origin, life, each) for each in range(deliveries // _LIVES)]
                async with AsyncExitStack() as stack:
                    await _live_once(folder, origin, heard, promises, chance, stack)


def _completed(origin: Origin, life: int, number: int) -> NewDelivery:
    """A webhook, and at the origin its picture, unlike all others."""
    path, file = f"/{life}-{number}.png", BytesIO()
    Image.new("RGB", (24, 16), (life, number >> 8, number & 0xFF)).save(file, "PNG")
    origin.answers[path] = answer(body=file.getvalue())
    return webhook(f"{life}-{number}", origin.url(path), prompt="a fox " * (number % 40))


async def _live_once(
    folder: Path,
    origin: Origin,
    heard: Sequence[NewDelivery],
    promises: Promises,
    chance: Random,
    stack: AsyncExitStack,
) -> None:
    """Takes all of it in, from before there is a catalog, and ends when nothing is left to do."""
    inbox = SqliteInbox(folder / "inbox" / "receive.db")
    await inbox.start()
    stack.push_async_callback(inbox.close)
    rest = iter(heard)

    async def take() -> None:
        for delivery in rest:
            await inbox.append(delivery)
            promises.make("heard", sha256(delivery.body).hexdigest())
            await asyncio.sleep(chance.uniform(0, _PAUSE_SECONDS))

    hands = [asyncio.create_task(take()) for _ in range(_HANDS)]
    archive = await _archive(folder, origin, stack)
    stop = asyncio.Event()
    worker = asyncio.create_task(archive.worker.run(stop, drain_seconds=10))
    while (
        await archive.absorb.step()
        or promises.look(archive.reader)
        or not all(hand.done() for hand in hands)
    ):
        await asyncio.sleep(_PAUSE_SECONDS)
    stop.set()
    await asyncio.gather(worker, *hands)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Archive:
    reader: CatalogReader
    absorb: Absorb
    worker: Worker


async def _archive(folder: Path, origin: Origin, stack: AsyncExitStack) -> _Archive:
    path = folder / "catalog.db"
    await asyncio.to_thread(migrate, path)
    catalog, reader = Catalog(path), CatalogReader(path)
    inboxes = Inboxes(inboxes_in(folder / "inbox"))
    await catalog.start()
    stack.push_async_callback(catalog.close)
    stack.callback(reader.close)
    stack.callback(inboxes.close)
    policy = EgressPolicy(
        allow_http=True,
        allow_ports=frozenset({origin.port}),
        allow_networks=(IPv4Network("127.0.0.0/8"),),
    )
    blobs = FolderBlobs(folder / "bucket")
    capture = Capture(
        egress=await stack.enter_async_context(Egress(policy)),
        store=Store(blobs, Budget(1 << 26), folder / "spool"),
        catalog=reader,
        reveal=inboxes.reveal,
        download_hosts=lambda _: (origin.host,),
        patience_seconds=60,
        now=clock.now,
        random=lambda: 0.5,
    )
    seal = Seal(blobs=blobs, catalog=reader, now=clock.now, random=lambda: 0.5)
    benches = {
        JobKind.FETCH: Bench(perform=capture.perform, slots=8, per_host=8),
        JobKind.SEAL: Bench(perform=seal.perform, slots=8, per_host=8),
    }
    worker = Worker(catalog, benches, name="short life", now=clock.now)
    absorb = Absorb(catalog, inboxes, now=clock.now, work_planned=worker.wake)
    return _Archive(reader=reader, absorb=absorb, worker=worker)


class Promises:
    """What was told to be safe, written down once each."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._made: set[str] = set()

    def make(self, *said: object) -> None:
        """Writes it down, unless it is already."""
        line = json.dumps(said)
        if line not in self._made:
            self._made.add(line)
            os.write(self._file, line.encode() + b"\n")

    def look(self, reader: CatalogReader) -> bool:
        """Writes down what any reader may see by now; whether some of it is still to be done."""
        with reader.view() as tables:
            ask = tables.connection.execute
            for inbox, position in ask("SELECT inbox, position FROM inbox_positions").fetchall():
                self.make("absorbed", inbox, position)
            for (digest,) in ask("SELECT lower(hex(sha256)) FROM assets").fetchall():
                self.make("archived", digest)
            left = "kind IN ('fetch', 'seal') AND state IN ('available', 'scheduled', 'running')"
            (found,) = ask(f"SELECT count(*) FROM jobs WHERE {left}").fetchone()
        return bool(found)


if __name__ == "__main__":
    main()
