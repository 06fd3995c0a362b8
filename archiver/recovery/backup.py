"""Backups of the catalog and all inboxes, taken beside a running service, into the bucket.

The catalog is copied first: whatever an inbox hears meanwhile is beyond the position that the
copied catalog has reached, so that a restored one goes on from there and misses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from zlib import compressobj

from archiver.blobs import BlobStore, Put
from archiver.body import Body, Budget, collect
from archiver.errors import BackupError
from archiver.inbox.sqlite import inbox_files
from archiver.keys import (
    BACKUPS,
    backup_at,
    backup_catalog_key,
    backup_inbox_key,
    backup_index_key,
    backup_prefix,
)
from archiver.media import Walker
from archiver.recovery.backup_index import (
    CATALOG,
    BackedUp,
    BackupIndex,
    parse,
    render,
    superfluous,
)
from archiver.recovery.copying import copies, damaged, whole_copy
from archiver.recovery.databases import Broken, CatalogFacts, InboxFacts, catalog_facts, inbox_facts

_PIECE_BYTES = 1 << 20
_GZIP = 31
# The fastest; the best takes twice the time for a thirtieth fewer bytes.
_LEVEL = 1
_MEMORY_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Backup:
    """Takes backups of one archive; `spool` is a folder with room for a copy of its databases.

    So much as `min_free_bytes` is left free on its disk. `progress` is told how many bytes are done
    of how many that the databases have.
    """

    blobs: BlobStore
    catalog: Path
    inboxes: Path
    spool: Path
    min_free_bytes: int
    now: Callable[[], datetime]
    progress: Callable[[int, int], None] = lambda done, total: None

    async def take(self) -> BackupIndex:
        """Copies, checks and stores each database, and last the index that makes it a backup.

        Raises BackupError and BucketError; what was stored until then is no backup, and goes with
        a `prune` a day later.
        """
        at = self.now().replace(microsecond=0)
        with copies(self.spool) as folder:
            inboxes = inbox_files(self.inboxes)
            total = sum(path.stat().st_size for path in (self.catalog, *inboxes))
            copy = partial(whole_copy, folder=folder, min_free_bytes=self.min_free_bytes)
            copied = await asyncio.to_thread(copy, self.catalog)
            facts = await asyncio.to_thread(catalog_facts, copied)
            if isinstance(facts, Broken):
                raise damaged(self.catalog, facts.reason)
            files = [await self._store(backup_catalog_key(at), CATALOG, copied)]
            for path in inboxes:
                self.progress(sum(file.size_bytes for file in files), total)
                copied = await asyncio.to_thread(copy, path)
                inbox = await asyncio.to_thread(inbox_facts, copied)
                if isinstance(inbox, Broken):
                    raise damaged(path, inbox.reason)
                if inbox is not None:
                    key, name = backup_inbox_key(at, path.stem), f"inbox/{path.name}"
                    files.append(await self._store(key, name, copied, inbox))
        index = _index(at, facts, files)
        await self._put(backup_index_key(at), Body.of(render(index)), "application/json")
        return index

    async def prune(self, keep: int, *, taken_at: datetime | None = None) -> int:
        """Takes away all backups but the newest `keep` and the one just taken; how many it was."""
        found = await backups(self.blobs)
        gone = superfluous(found, keep=keep, taken_at=taken_at, now=self.now())
        for at in gone:
            await self.blobs.delete(backup_index_key(at))  # from here on it is no backup
            async for key in self.blobs.list(backup_prefix(at)):
                await self.blobs.delete(key)
        return len(gone)

    async def _store(
        self, key: str, name: str, copied: Path, inbox: InboxFacts | None = None
    ) -> BackedUp:
        """Puts a copy into the bucket, compressed, and takes it away here."""
        packed = _Packed(copied)
        budget, spool = Budget(_MEMORY_BYTES), copied.parent
        async with await collect(
            packed.chunks(), None, budget=budget, spool_dir=spool, walker=Walker()
        ) as body:
            await self._put(key, body, "application/gzip")
        await asyncio.to_thread(copied.unlink)
        return BackedUp(
            name=name,
            key=key,
            size_bytes=packed.size_bytes,
            sha256=packed.sha256.hexdigest(),
            stored_bytes=body.size_bytes,
            stored_sha256=body.sha256.hex(),
            inbox=inbox.uuid if inbox else "",
            position=inbox.position if inbox else 0,
            last=inbox.last if inbox else "",
        )

    async def _put(self, key: str, body: Body, media_type: str) -> None:
        """Puts an object where none is, and looks whether the store has all of it."""
        if await self.blobs.put(key, body, media_type=media_type, metadata={}) is Put.EXISTED:
            raise BackupError(f"{key} is there already: another backup began in this very second")
        head = await self.blobs.head(key)
        if head is None or head.size_bytes != body.size_bytes:
            raise BackupError(f"the bucket has not kept {key} as it was put; try again")


class _Packed:
    """A file, gzipped as it is read; then its size and digest are known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size_bytes = 0
        self.sha256 = sha256()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The gzipped bytes."""
        compressing = compressobj(_LEVEL, wbits=_GZIP)
        with self._path.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                self.size_bytes += len(piece)
                self.sha256.update(piece)
                yield await asyncio.to_thread(compressing.compress, piece)
        yield compressing.flush()


async def backups(blobs: BlobStore) -> dict[datetime, bool]:
    """All that there are, the oldest first, and of each whether it has its index."""
    found: dict[datetime, bool] = {}
    async for key in blobs.list(BACKUPS):
        at = backup_at(key)
        if at is not None:
            found[at] = found.get(at, False) or key == backup_index_key(at)
    return found


async def newest_at(blobs: BlobStore) -> datetime | None:
    """When the newest whole backup was taken; None if there is none. Raises BucketError."""
    found = await backups(blobs)
    return max((at for at, has_index in found.items() if has_index), default=None)


async def index_of(blobs: BlobStore, at: datetime) -> BackupIndex:
    """The index of that backup; raises BucketError, and ManifestError if it cannot be read."""
    async with blobs.read(backup_index_key(at)) as chunks:
        return parse(b"".join([chunk async for chunk in chunks]))


def _index(at: datetime, facts: CatalogFacts, files: list[BackedUp]) -> BackupIndex:
    return BackupIndex(
        taken_at=at,
        version=version("holdfast"),
        steps=facts.steps,
        born_at=facts.born_at,
        beat_at=facts.beat_at,
        generations=facts.generations,
        positions=dict(facts.positions),
        files=tuple(files),
    )
