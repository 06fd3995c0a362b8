"""The index out of the bucket alone: tombstones, segments, and the manifests that are newer.

A manifest whose object has the MD5 that a segment tells of need not be read. Of two that show one
generation the later revision wins, and a manifest of its own wins over a line of the same.
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from archiver.blobs import BlobStore, read_whole
from archiver.errors import BucketError, ManifestError
from archiver.keys import MANIFESTS, SEGMENTS, thumb_key
from archiver.models import Generation
from archiver.recovery.backup import newest_at
from archiver.recovery.findings import (
    Finding,
    Tally,
    missing,
    refusal,
    renumbered,
    still_there,
    strange,
)
from archiver.recovery.hands import Hands, to_its_end
from archiver.recovery.new_catalog import NewCatalog, discard
from archiver.recovery.objects import compare_objects
from archiver.recovery.preparing import (
    Found,
    Prepared,
    prepare_manifests,
    prepare_segment,
    read_manifests,
    read_segment,
    short,
)
from archiver.recovery.segmenting import range_of, segment_prefix
from archiver.recovery.segments import count
from archiver.recovery.tombstones import Forgotten, forgotten_by, read_tombstones
from archiver.signing import Trust

# Manifests that are read at the same time, and that make one portion of work.
_READS = 32
_PORTION = 500


class _Portion(NamedTuple):
    """Work under way, and how to have it done again with each generation by itself."""

    task: asyncio.Task[Prepared]
    again: Callable[[], tuple[list[Found], Prepared]]
    of_segment: bool


class Rebuilding:
    """One rebuilding into the file `path`, which must be nobody's.

    `tell` is called with whatever is amiss, as it is found. Meanwhile `tally` says how far it is,
    and afterwards `forgotten` what was not taken in.
    """

    def __init__(
        self,
        blobs: BlobStore,
        path: Path,
        *,
        trust: Trust,
        now: datetime,
        tell: Callable[[Finding], None],
    ) -> None:
        self.tally = Tally()
        self._blobs = blobs
        self._path = path
        self._trust = trust
        self._now = now
        self._tell = tell
        self._hands = Hands()
        self.forgotten = Forgotten(slots={})
        # The MD5 that segments tell of each manifest's own object, until that is met.
        self._told: dict[bytes, str] = {}
        self._missing: set[bytes] = set()
        self._erasures: set[str] = set()
        self._under_way: deque[_Portion] = deque()

    async def run(self) -> None:
        """Makes the file; raises BucketError, and leaves nothing of it then."""
        tombstones = await read_tombstones(self._blobs, self._trust, self._refuse)
        self.forgotten = forgotten_by(tombstones)
        self.tally.tombstones = len(tombstones)
        new = await to_its_end(NewCatalog, self._path, now=self._now)
        gc.disable()  # as in `hands`
        try:
            await self._take_segments(new)
            await self._take_manifests(new)
            await self._unseal(new)
            await to_its_end(new.bury, tombstones, sorted(self._erasures))
            await to_its_end(new.house, self._tell_renumbered)
            keys = new.blob_keys()
            self.tally.objects = await compare_objects(
                self._blobs, keys, self._erasures, self._tell
            )
            self.tally.generations = new.count()
            backed_up_at = await newest_at(self._blobs)
            if backed_up_at is not None:
                await to_its_end(new.backed_up, backed_up_at)
            await to_its_end(new.finish)
        except BaseException:
            for portion in self._under_way:
                portion.task.cancel()
            new.close()
            discard(self._path)
            raise
        finally:
            gc.enable()
            self._hands.close()

    async def _take_segments(self, new: NewCatalog) -> None:
        async for key in self._blobs.list(SEGMENTS):
            packed = await self._whole(key)
            if packed is None:
                continue  # there is a newer one; should it not be listed, manifests are read
            try:
                first_key = new.reserve(count(packed))
            except ManifestError as error:
                self._refuse(key, error)
                continue
            given = key, packed, self._trust, self.forgotten
            task = self._hands.begin(prepare_segment, *given, first_key)
            await self._put_on(new, _Portion(task, partial(read_segment, *given), True))
            self.tally.segments += 1
        await self._put_on(new, None)

    async def _take_manifests(self, new: NewCatalog) -> None:
        """Those that no segment tells of, and those that are not what one tells."""
        unknown: list[str] = []
        changed: list[str] = []
        async for key, md5 in self._blobs.digests(MANIFESTS):
            if key.startswith(SEGMENTS):
                continue
            if not key.endswith(".json"):
                self._tell(strange(key))
                continue
            told = self._told.pop(short(key), None)
            if told != md5:
                (unknown if told is None else changed).append(key)
            if len(unknown) == _PORTION:
                await self._take_unknown(new, unknown)
                unknown = []
            if len(changed) == _PORTION:
                await self._take_changed(new, changed)
                changed = []
        await self._take_unknown(new, unknown)
        await self._take_changed(new, changed)
        await self._put_on(new, None)

    async def _take_unknown(self, new: NewCatalog, keys: Sequence[str]) -> None:
        texts = await self._read(keys)
        given = texts, self._trust, self.forgotten
        task = self._hands.begin(prepare_manifests, *given, new.reserve(len(texts)))
        await self._put_on(new, _Portion(task, partial(read_manifests, *given), False))

    async def _take_changed(self, new: NewCatalog, keys: Sequence[str]) -> None:
        found, done = read_manifests(await self._read(keys), self._trust, self.forgotten)
        for one in found:
            await to_its_end(new.put, one)
        self._note(done)

    async def _put_on(self, new: NewCatalog, portion: _Portion | None) -> None:
        """Has a portion prepared while those before it are taken; None: takes all that are left."""
        if portion is not None:
            self._under_way.append(portion)
        most = 0 if portion is None else self._hands.count
        while len(self._under_way) > most:
            await self._take(new, self._under_way.popleft())

    async def _take(self, new: NewCatalog, portion: _Portion) -> None:
        prepared = await portion.task
        told = dict(prepared.known) if portion.of_segment else {}
        if told.keys().isdisjoint(self._told) and await to_its_end(new.take, prepared):
            self._told |= told
        else:
            # Something in it collides with what is known: one after the other.
            for one in portion.again()[0]:
                if await to_its_end(new.put, one) and portion.of_segment:
                    self._told[short(one.key)] = one.md5
        self._note(prepared)

    async def _read(self, keys: Iterable[str]) -> list[tuple[str, bytes]]:
        """The manifests of these keys, but for those that have vanished since."""
        at_once = asyncio.Semaphore(_READS)

        async def read(key: str) -> tuple[str, bytes] | None:
            async with at_once:
                text = await self._whole(key)
                return None if text is None else (key, text)

        found = [it for it in await asyncio.gather(*map(read, keys)) if it is not None]
        self.tally.read += len(found)
        return found

    async def _whole(self, key: str) -> bytes | None:
        """All bytes of an object; None if it has vanished since it was listed."""
        try:
            return await read_whole(self._blobs, key)
        except BucketError:
            if await self._blobs.head(key) is None:
                return None
            raise

    async def _unseal(self, new: NewCatalog) -> None:
        """What only a segment shows is to be written again as a manifest of its own."""
        without_own = self._missing | self._told.keys()
        if without_own and (known := await to_its_end(new.unseal, without_own)):
            self._tell(missing(known))

    def _note(self, prepared: Prepared) -> None:
        self.tally.unsigned += prepared.unsigned
        for refused in prepared.refused:
            self._missing.add(short(refused.key))
            self._tell(refusal(refused.key, refused.reason))
        for found in prepared.forgotten:
            left = _left(found)
            if left <= self._erasures:
                continue  # its segment has shown it, too
            self._erasures |= left
            self._tell(still_there(found.key))

    def _refuse(self, key: str, error: ManifestError) -> None:
        self._tell(refusal(key, str(error)))

    def _tell_renumbered(self, generation: Generation, old: int, new: int) -> None:
        self._tell(renumbered(generation, old, new))


def _left(found: Found) -> set[str]:
    """What in the bucket is to vanish, unless something else shows it still."""
    generation = found.generation
    numbers = [slot.number for slot in generation.slots if slot.number is not None]
    keys = {segment_prefix(range_of(min(numbers)))}
    if not found.altered:
        keys.add(found.key)
    for slot in generation.slots:
        for asset in slot.assets:
            keys |= {asset.blob_key, thumb_key(asset.sha256)}
    return keys
