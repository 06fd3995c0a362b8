"""An archive that hears, absorbs, is backed up, loses files and gets them back."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from archiver.blobs.folder import FolderBlobs
from archiver.catalog import Catalog, CatalogReader
from archiver.catalog.schema import migrate
from archiver.inbox.sqlite import SqliteInboxReader, inbox_files
from archiver.keys import manifest_key
from archiver.models import Generation
from archiver.recovery.backup import Backup, backups, index_of
from archiver.recovery.backup_index import BackupIndex
from archiver.recovery.databases import Broken, catalog_facts, inbox_facts
from archiver.recovery.restore import Restore, Restored
from archiver.recovery.restore_plan import Fate, Step, changes, plan
from archiver.recovery.tombstones import put_tombstone
from archiver.signing import NOBODY
from archiver.tombstone import Tombstone, name_digest
from receiver.absorb import Absorb
from receiver.inboxes import Inboxes
from tests.clocks import FrozenClock
from tests.inboxes import inboxes_in
from tests.receiver.deliveries import record, webhook


@dataclass(kw_only=True)
class Ruins:
    """A folder with a catalog and inboxes, and the bucket elsewhere; `clock` goes on by itself."""

    folder: Path
    bucket: Path
    clock: FrozenClock = field(default_factory=FrozenClock)
    heard: int = 0

    @property
    def catalog(self) -> Path:
        return self.folder / "catalog.db"

    @property
    def blobs(self) -> FolderBlobs:
        return FolderBlobs(self.bucket)

    def inbox(self, role: str) -> Path:
        return self.folder / "inbox" / f"{role}.db"

    async def hear(self, role: str = "receive", count: int = 1) -> list[str]:
        """Webhooks of new generations into a role's inbox, which it makes if there is none."""
        ids = [f"g{self.heard + number}" for number in range(count)]
        self.heard += count
        at = self.clock.advance(seconds=1)
        await record(self.inbox(role), *(replace(webhook(it), received_at=at) for it in ids))
        return ids

    async def absorb(self) -> int:
        """What the role does at its start, until nothing is left; it makes a catalog if need be.

        How many deliveries it was.
        """
        if not self.catalog.exists():
            migrate(self.catalog)
        catalog, inboxes = Catalog(self.catalog), Inboxes(inboxes_in(self.folder / "inbox"))
        await catalog.start()
        absorbing = Absorb(catalog, inboxes, now=self.clock, work_planned=lambda: None)
        count = 0
        while step := await absorbing.step():
            count += step
        at = self.clock.advance(seconds=1)
        await catalog.write(lambda tables: tables.deliveries.beat("archive", now=at))
        await catalog.close()
        inboxes.close()
        return count

    async def back_up(self) -> BackupIndex:
        """A backup of all there is."""
        self.clock.advance(seconds=1)
        backup = Backup(
            blobs=self.blobs,
            catalog=self.catalog,
            inboxes=self.folder / "inbox",
            spool=self.folder / "spool",
            min_free_bytes=0,
            now=self.clock,
        )
        return await backup.take()

    def restore(self) -> Restore:
        return Restore(
            blobs=self.blobs, catalog=self.catalog, trust=NOBODY, signer=None, now=self.clock
        )

    async def bring_back(self) -> tuple[list[Step], Restored | None]:
        """The newest backup; what was planned, and what came of it."""
        self.clock.advance(seconds=1)
        index = await index_of(self.blobs, max(await backups(self.blobs)))
        steps = plan(index, self.restore().present(index))
        if not changes(steps):
            return steps, None
        return steps, await self.restore().carry_out(index, steps)

    def known(self) -> set[str]:
        """The ids of all generations in the catalog."""
        reader = CatalogReader(self.catalog)
        with reader.view() as tables:
            rows = tables.connection.execute("SELECT id FROM generations").fetchall()
        reader.close()
        return {id_ for (id_,) in rows}

    def generations(self) -> list[Generation]:
        """All that the catalog knows."""
        reader = CatalogReader(self.catalog)
        with reader.view() as tables:
            keys = tables.generations.keys(above=0, limit=1000)
            found = [tables.generations.load_key(key) for key in keys]
        reader.close()
        return [generation for generation in found if generation]

    async def forget(self, generation_id: str) -> None:
        """A tombstone in the bucket, and no manifest any more."""
        tombstone = Tombstone(
            name_sha256=name_digest("doitong", generation_id),
            index=None,
            numbers=(),
            forgotten_at=self.clock(),
            reason="takedown",
        )
        await put_tombstone(self.blobs, tombstone, None)
        await self.blobs.delete(manifest_key("doitong", generation_id))

    def told(self) -> set[bytes]:
        """The bodies of all deliveries in all inboxes that can be read."""
        found: set[bytes] = set()
        for path in inbox_files(self.folder / "inbox"):
            if isinstance(inbox_facts(path), Broken):
                continue
            inbox = SqliteInboxReader(path)
            found |= {heard.body for heard in inbox.after(0, limit=10_000) if heard.body}
            inbox.close()
        return found

    def keep_copy(self, role: str, name: str) -> None:
        """A copy of an inbox as an operator makes one, by hand."""
        if self.inbox(role).exists():
            shutil.copy(self.inbox(role), self.folder / name)

    def put_back(self, role: str, name: str) -> None:
        """That copy in the place of the inbox, whatever was heard since."""
        if (self.folder / name).exists():
            self.lose(self.inbox(role))
            shutil.copy(self.folder / name, self.inbox(role))

    def lose(self, path: Path) -> None:
        """A database and what SQLite keeps beside it."""
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)

    def can_hear(self, role: str) -> bool:
        """Whether that role could start: it has an inbox, or can make one."""
        path = self.inbox(role)
        return not path.exists() or not isinstance(inbox_facts(path), Broken)

    def usable(self) -> bool:
        """Whether there is a catalog, or one could be made."""
        return not self.catalog.exists() or not isinstance(catalog_facts(self.catalog), Broken)

    def whole(self) -> bool:
        """Whether a backup can be taken."""
        paths = inbox_files(self.folder / "inbox")
        broken = any(isinstance(inbox_facts(path), Broken) for path in paths)
        return self.catalog.exists() and self.usable() and not broken

    def spoil(self, path: Path) -> None:
        """A database whose file is no longer one."""
        if path.exists():
            self.lose(path)
            self.spoil_new(path)

    def spoil_new(self, path: Path) -> None:
        """A file that is no database."""
        path.write_bytes(b"this was a database" * 300)


def fates(steps: list[Step]) -> dict[str, list[Fate]]:
    """What was planned, by file."""
    found: dict[str, list[Fate]] = {}
    for step in steps:
        found.setdefault(step.name, []).append(step.fate)
    return found
