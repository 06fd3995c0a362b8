"""A backup brought back: everything is fetched, verified and made ready first, and then switched.

Nobody may use the archive meanwhile. Whatever is in the way is put aside, into a folder beside the
catalog, and nothing is deleted; stopped anywhere, it can simply be typed again.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from archiver import sqlite
from archiver.blobs import BlobStore
from archiver.catalog import Tables
from archiver.catalog.deliveries import BACKUP
from archiver.catalog.schema import migrate
from archiver.catalog.schema import steps as known_steps
from archiver.catalog.usage import alone
from archiver.durable import sync
from archiver.errors import BackupError
from archiver.inbox.anew import begin_anew
from archiver.inbox.sqlite import inbox_files
from archiver.keys import backup_prefix
from archiver.recovery.backup import newest_at
from archiver.recovery.backup_index import CATALOG, BackupIndex
from archiver.recovery.catching_up import CatchingUp, CaughtUp
from archiver.recovery.databases import Broken, catalog_facts, delivery_at, inbox_facts
from archiver.recovery.fetching import fetch
from archiver.recovery.restore_plan import Fate, Present, PresentInbox, Step
from archiver.signing import Signer, Trust

_SIDECARS = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """What became of it: the folder of what was put aside, if anything was; and what a restored
    catalog has caught up with in the bucket."""

    aside: Path | None
    caught_up: CaughtUp | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Restore:
    """Restores into the folder of `catalog`, which is what the file is to be called.

    `progress` is told what is being done, and of how many bytes or manifests more.
    """

    blobs: BlobStore
    catalog: Path
    trust: Trust
    signer: Signer | None
    now: Callable[[], datetime]
    progress: Callable[[str, int], None] = lambda what, count: None

    def present(self, index: BackupIndex) -> Present:
        """What there is already. Blocks."""
        found = catalog_facts(self.catalog) if self.catalog.exists() else None
        positions = {file.inbox: file.position for file in index.files}
        inboxes: dict[str, PresentInbox | Broken] = {}
        for path in inbox_files(self._place("inbox")):
            facts = inbox_facts(path)
            if isinstance(facts, Broken):
                inboxes[f"inbox/{path.name}"] = facts
            elif facts is not None:
                at_last = delivery_at(path, positions.get(facts.uuid, 0))
                inboxes[f"inbox/{path.name}"] = PresentInbox(facts=facts, at_last=at_last)
        return Present(catalog=found, inboxes=inboxes)

    async def carry_out(self, index: BackupIndex, steps: Sequence[Step]) -> Restored:
        """Does all steps of a plan. Raises BackupError, BucketError, and InUseError."""
        if set(index.steps) - set(known_steps()):
            raise BackupError(
                f"the backup was made by holdfast {index.version}, which is newer than this one: "
                "install that version, or choose an older backup with --from"
            )
        staging, done = self._place("restoring"), None
        staged: dict[str, Path] = {}
        try:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(mode=0o700, parents=True)
            for step in steps:
                if step.file is not None:
                    staged[step.name] = staging / f"{len(staged)}.db"
                    await fetch(self.blobs, step.file, staged[step.name], self._fetched)
            if CATALOG in staged:
                done = await self._catch_up(staged[CATALOG])
            with alone(self.catalog):
                aside = self._switch(steps, staged)  # here, where nothing can come in between
        except (OSError, sqlite.Error) as error:
            where = getattr(error, "filename", None) or staging
            raise BackupError(
                f"{where}: {error}; see that the disk is well and has room, and type it again: "
                "nothing is lost"
            ) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return Restored(aside=aside, caught_up=done)

    def _fetched(self, size_bytes: int) -> None:
        self.progress("fetching", size_bytes)

    async def _catch_up(self, staged: Path) -> CaughtUp:
        """What was written into the bucket since, into a catalog that nobody uses yet."""
        await asyncio.to_thread(migrate, staged)
        connection = sqlite.open_writer(staged, synchronous="OFF", create=False)
        try:
            catching_up = CatchingUp(
                connection=connection,
                blobs=self.blobs,
                trust=self.trust,
                signer=self.signer,
                now=self.now,
                progress=lambda count: self.progress("catching up", count),
            )
            done = await catching_up.run()
            backed_up_at = await newest_at(self.blobs)
            if backed_up_at is not None:  # no catalog knows of the backup that it is in
                Tables(connection).deliveries.beat(BACKUP, now=backed_up_at)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
        return done

    def _switch(self, steps: Sequence[Step], staged: dict[str, Path]) -> Path | None:
        """Puts every file where it belongs, the catalog last: until then nothing is absorbed."""
        aside = self._place("aside") / backup_prefix(self.now()).split("/")[1]
        self._place("inbox").mkdir(mode=0o700, exist_ok=True)
        for path in staged.values():
            sync(path)
        for step in sorted(steps, key=lambda step: step.name == CATALOG):
            place = self.catalog if step.name == CATALOG else self._place(step.name)
            if step.fate is Fate.RENAME:
                begin_anew(place)
            elif step.fate is Fate.ASIDE:
                _put_aside(place, aside / step.name)
            elif step.fate is Fate.RESTORE:
                staged[step.name].rename(place)
            sync(place.parent)
        return aside if aside.exists() else None

    def _place(self, name: str) -> Path:
        return self.catalog.parent / name


def _put_aside(place: Path, aside: Path) -> None:
    """Moves a database and what SQLite keeps beside it."""
    aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for end in _SIDECARS:
        moved = place.with_name(place.name + end)
        if moved.exists():
            moved.rename(aside.with_name(aside.name + end))
    sync(aside.parent)
