"""Forgetting: what somebody has a right to see gone vanishes, and only a tombstone stays.

The tombstone goes first, into the bucket and then into the catalog: from there on nothing of it is
taken in again. One transaction takes the rows out and notes what else has to vanish; so whatever
dies in between, forgetting the same again, or the service's next look, goes on where it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from archiver.blobs import BlobStore
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.errors import HoldfastError
from archiver.keys import SEGMENTS, digest_of, manifest_key, thumb_key
from archiver.ledger import keep
from archiver.models import Generation
from archiver.recovery.forget_plan import Target, segment_of, slots_of, tombstones
from archiver.recovery.segmenting import Segmenting
from archiver.recovery.tombstones import Complain, put_tombstone, read_tombstones
from archiver.seal import put_manifest
from archiver.signing import Signer, Trust
from archiver.tombstone import Tombstone, emptied, name_digest

# Stands among what is to vanish for the words in the search index.
_WORDS = "words"

_LOOK_SECONDS = 0.2
_PORTION = 200


class StillAtWorkError(HoldfastError):
    """A worker holds a job of what is to be forgotten; try again when it is done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forget:
    """Has things forgotten, beside a running service or without one.

    Raises what the bucket and the catalog raise; what was begun goes on when it is done again.
    """

    catalog: Catalog
    reader: CatalogReader
    blobs: BlobStore
    segmenting: Segmenting
    signer: Signer | None
    now: Callable[[], datetime]

    async def forget(
        self, targets: Sequence[Target], *, reason: str, wait_seconds: float = 60.0
    ) -> None:
        """Forgets all of these; raises StillAtWorkError for one that is worked on for so long."""
        now = self.now()
        buried = await self.reader.read(
            lambda tables: [*tombstones(tables, targets, now=now, reason=reason)]
        )
        for tombstone in buried:
            await put_tombstone(self.blobs, tombstone, self.signer)
        for target, tombstone in zip(targets, buried, strict=True):
            await self._take_out(target, tombstone, wait_seconds)
        await self.finish()

    async def obey(self, trust: Trust, complain: Complain) -> int:
        """Forgets what there is a tombstone of and the catalog knows all the same; how many.

        As after an older copy of it was brought back, or where a worker was too long at it.
        """
        known = await self.reader.read(lambda tables: tables.tombstones.all())
        buried = {tombstone.key for tombstone in known}
        found = await read_tombstones(self.blobs, trust, complain, but=buried)
        for tombstone in found:
            await self.catalog.write(partial(_bury, tombstone=tombstone))
        count = 0
        async for target, tombstone in self._met_again([*known, *found]):
            with suppress(StillAtWorkError):  # it is met again the next time
                await self._take_out(target, tombstone, _LOOK_SECONDS)
                count += 1
        return count

    async def finish(self) -> int:
        """Takes out of the bucket what is noted to vanish; how many objects that were."""
        count = 0
        while keys := await self.reader.read(
            lambda tables: tables.tombstones.erasures(limit=_PORTION)
        ):
            for key in keys:
                await self._erase(key)
            await self.catalog.write(partial(_strike_off, keys=keys))
            count += len(keys)
        return count

    async def _take_out(self, target: Target, tombstone: Tombstone, wait_seconds: float) -> None:
        """The rows, and of a slot the manifest that shows it."""
        for _ in range(max(1, round(wait_seconds / _LOOK_SECONDS))):
            work = partial(_take_out, target=target, tombstone=tombstone, now=self.now())
            if await self.catalog.write(work):
                break
            await asyncio.sleep(_LOOK_SECONDS)
        else:
            raise StillAtWorkError(
                f"{target.provider}/{target.id} is being worked on (holdfast show says by what): "
                "what is heard of it is no longer taken in; type the same again in a while"
            )
        if target.index is not None:
            await self._seal(target)

    async def _seal(self, target: Target) -> None:
        """The manifest as it is without the slot, now and not when a service comes to it."""
        left = await self.reader.read(lambda tables: tables.generations.load(*target.name))
        if left is None or left.key is None or left.sealed_revision == 0:
            return
        await put_manifest(self.blobs, left, self.signer)
        key, revision = left.key, left.revision
        await self.catalog.write(lambda tables: tables.generations.seal(key, revision))

    async def _erase(self, key: str) -> None:
        if key == _WORDS:
            await self._merge_words()
            return
        if key.startswith(SEGMENTS):
            await self.segmenting.write(int(key.removeprefix(SEGMENTS).rstrip("-")))
            return
        sha256 = digest_of(key)
        # Somebody may have brought the very same picture since.
        if sha256 is None or not await self.reader.read(partial(_is_shown, sha256=sha256)):
            await self.blobs.delete(key)

    async def _merge_words(self) -> None:
        """Deleted words stay in the search index until its parts are merged; so they are."""
        begin = True
        while await self.catalog.write(partial(_merge, begin=begin)):
            begin = False

    async def _met_again(
        self, buried: Sequence[Tombstone]
    ) -> AsyncIterator[tuple[Target, Tombstone]]:
        """What the catalog still has of what lies under these."""
        by_name: dict[bytes, list[Tombstone]] = {}
        for tombstone in buried:
            by_name.setdefault(tombstone.name_sha256, []).append(tombstone)
        last = 0
        while by_name and (some := await self.reader.read(partial(_names, above=last))):
            for _, *name in some:
                for tombstone in by_name.get(name_digest(*name), ()):
                    target = Target(provider=name[0], id=name[1], index=tombstone.index)
                    if await self.reader.read(partial(_holds, target=target)):
                        yield target, tombstone
            last = some[-1][0]


def _names(tables: Tables, *, above: int) -> list[tuple[int, str, str]]:
    return tables.generations.names(above=above, limit=_PORTION)


def _holds(tables: Tables, *, target: Target) -> bool:
    known = tables.generations.load(*target.name)
    if known is None or target.index is None:
        return known is not None
    return emptied(known, [target.index]) != known


def _merge(tables: Tables, *, begin: bool) -> bool:
    tables.texts.leave_no_trace()
    more = tables.texts.merge(begin=begin)
    tables.texts.leave_traces()
    return more


def _bury(tables: Tables, *, tombstone: Tombstone) -> None:
    tables.tombstones.put(tombstone)


def _is_shown(tables: Tables, *, sha256: bytes) -> bool:
    return bool(tables.forgetting.still_shown([sha256]))


def _strike_off(tables: Tables, *, keys: Sequence[str]) -> None:
    tables.tombstones.erased(keys)


def _take_out(tables: Tables, *, target: Target, tombstone: Tombstone, now: datetime) -> bool:
    """Takes the rows out and notes what else vanishes; False while a worker is at it."""
    tables.tombstones.put(tombstone)
    known = tables.generations.load(*target.name)
    if known is None:
        if target.index is None:
            tables.tombstones.erase([manifest_key(*target.name)])
        return True
    if tables.forgetting.is_worked_on(known, now=tables.time(lambda: now)):
        return False
    assert known.key is not None
    tables.prunings.order(tables.forgetting.deliveries(known.key), ready=False)
    tables.texts.leave_no_trace()
    gone = [asset for slot in slots_of(known, target) for asset in slot.assets]
    vanishing = {segment_of(known), _WORDS}
    if target.index is None:
        tables.forgetting.generation(known)
        vanishing.add(manifest_key(*target.name))
    else:
        _empty(tables, known, target.index, now)
    lost = {asset.sha256 for asset in gone}
    lost -= tables.forgetting.still_shown(lost)
    tables.forgetting.pictures(lost)
    vanishing |= {asset.blob_key for asset in gone if asset.sha256 in lost}
    vanishing |= {thumb_key(sha256) for sha256 in lost}
    tables.tombstones.erase(sorted(vanishing))
    tables.texts.leave_traces()
    return True


def _empty(tables: Tables, known: Generation, index: int, now: datetime) -> None:
    for slot in known.slots:
        if slot.index == index and slot.number is not None:
            tables.forgetting.slot(slot.number)
    keep(tables, known, emptied(known, [index]), now=now)
