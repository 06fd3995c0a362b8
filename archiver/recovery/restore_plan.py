"""What a restore would do with each file of a backup, given what there is already.

Three laws. What is there and has all that the backup has, is kept. What else is in the way is put
aside, never deleted. And a restored inbox is never written again: it lies beside the others under
a name of its own, so that whoever hears begins a new one, and no position of it is given twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from archiver.keys import backup_prefix
from archiver.recovery.backup_index import CATALOG, BackedUp, BackupIndex
from archiver.recovery.databases import Broken, CatalogFacts, InboxFacts


class Fate(StrEnum):
    """What becomes of one file."""

    RESTORE = "restore"  # from the backup
    KEEP = "keep"  # it is there, with all that the backup has
    ASIDE = "put aside"  # it cannot be used, or another takes its place
    RENAME = "name anew"  # it keeps its file and gets another UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One file of the archive, named as from the catalog's folder; `file` is the one to restore."""

    fate: Fate
    name: str
    why: str
    file: BackedUp | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PresentInbox:
    """An inbox file that is there, and which delivery it has at the backup's last position, ""
    being none."""

    facts: InboxFacts
    at_last: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Present:
    """What there is where a backup is to be restored: the catalog, and each inbox file by name."""

    catalog: CatalogFacts | Broken | None
    inboxes: Mapping[str, PresentInbox | Broken]


def plan(index: BackupIndex, present: Present) -> list[Step]:
    """All steps, those of the catalog first."""
    files = {file.name: file for file in index.files}
    steps = [*_catalog(index, files[CATALOG], present.catalog), *_broken(present.inboxes)]
    taken = set(present.inboxes)
    for file in index.files:
        if file.inbox:
            name = _free(restored_name(file.name, index.taken_at), taken)
            steps += _inbox(file, name, present.inboxes)
            taken.add(name)
    return steps


def changes(steps: Sequence[Step]) -> bool:
    """Whether anything is to be done at all."""
    return any(step.fate is not Fate.KEEP for step in steps)


def restored_name(name: str, taken_at: datetime) -> str:
    """How a restored inbox is called: `inbox/receive.db` as `inbox/receive.<time>.db`.

    One that was restored once already keeps its name, for nobody has written it since.
    """
    if was_restored(name.removeprefix("inbox/")):
        return name
    stamp = backup_prefix(taken_at).split("/")[1]
    return f"{name.removesuffix('.db')}.{stamp}.db"


def was_restored(file_name: str) -> bool:
    """Whether an inbox that is called so lies there since a restore, and nobody hears into it."""
    return "." in file_name.removesuffix(".db")


def _catalog(
    index: BackupIndex, file: BackedUp, present: CatalogFacts | Broken | None
) -> Iterator[Step]:
    if present is None:
        yield Step(fate=Fate.RESTORE, name=CATALOG, why="there is none", file=file)
        return
    if isinstance(present, CatalogFacts) and _has_all(present, index):
        yield Step(fate=Fate.KEEP, name=CATALOG, why="it is newer than the backup, or the same")
        return
    if isinstance(present, Broken):
        why = f"it cannot be used ({present.reason})"
    elif present.born_at == index.born_at:
        why = "it is older than the backup"
    else:
        why = f"it is another catalog, and knows {present.generations:,} generations"
    yield Step(fate=Fate.ASIDE, name=CATALOG, why=why)
    yield Step(fate=Fate.RESTORE, name=CATALOG, why="the backup's takes its place", file=file)


def _has_all(present: CatalogFacts, index: BackupIndex) -> bool:
    """Whether a catalog is the backed up one as it stands later."""
    if present.born_at != index.born_at:
        return False
    if index.beat_at and (present.beat_at is None or present.beat_at < index.beat_at):
        return False
    absorbed = present.positions
    return all(absorbed.get(inbox, 0) >= at for inbox, at in index.positions.items())


def _broken(present: Mapping[str, PresentInbox | Broken]) -> Iterator[Step]:
    for name, inbox in present.items():
        if isinstance(inbox, Broken):
            why = f"it cannot be used ({inbox.reason})"
            yield Step(fate=Fate.ASIDE, name=name, why=why)


def _inbox(
    file: BackedUp, name: str, present: Mapping[str, PresentInbox | Broken]
) -> Iterator[Step]:
    """Of the files with its UUID the one is kept that has all of it; any other went its own way
    since, and what it has heard then is to be absorbed as another's. `name` is free."""
    same = {
        name: inbox
        for name, inbox in present.items()
        if isinstance(inbox, PresentInbox) and inbox.facts.uuid == file.inbox
    }
    whole = [
        name
        for name, inbox in same.items()
        if inbox.facts.position >= file.position and inbox.at_last == file.last
    ]
    for known in same:
        if known in whole[:1]:
            yield Step(fate=Fate.KEEP, name=known, why="it has all that the backup has, and more")
        else:
            why = "it is a copy, and has gone on from there in another way"
            yield Step(fate=Fate.RENAME, name=known, why=why)
    if not whole:
        why = f"{file.position:,} deliveries, not to be heard again otherwise"
        yield Step(fate=Fate.RESTORE, name=name, why=why, file=file)


def _free(name: str, taken: Collection[str]) -> str:
    """The name, or one like it that no file has."""
    stem, count = name.removesuffix(".db"), 2
    while name in taken:
        name, count = f"{stem}-{count}.db", count + 1
    return name
