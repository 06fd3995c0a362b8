"""A restored catalog brought up to what the bucket has been told since its backup was taken.

A manifest whose object has the MD5 of what the catalog itself would write need not be read. What
any other says is joined with what the catalog knows, and what was forgotten since is forgotten
here too.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from archiver import manifest
from archiver.blobs import BlobStore, read_whole
from archiver.catalog import Tables
from archiver.catalog.bulk import Bulk
from archiver.errors import BucketError, ManifestError
from archiver.keys import MANIFESTS, SEGMENTS, manifest_key
from archiver.ledger import keep
from archiver.manifest_parser import parse
from archiver.models import Generation
from archiver.recovery.joining import joined, say_the_same
from archiver.recovery.tombstones import Forgotten, forgotten_by, read_tombstones
from archiver.signing import Signer, Trust
from archiver.sqlite import Connection

_PORTION = 200
_READS = 32


@dataclass(kw_only=True)
class CaughtUp:
    """What it came to, in generations; and the objects that must not be believed, with reasons."""

    new: int = 0
    newer: int = 0
    forgotten: int = 0
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class CatchingUp:
    """Works on a catalog that nobody uses yet; `signer` is who signs its manifests, if anybody.

    `progress` is told of so many manifests more.
    """

    connection: Connection
    blobs: BlobStore
    trust: Trust
    signer: Signer | None
    now: Callable[[], datetime]
    progress: Callable[[int], None] = lambda count: None

    async def run(self) -> CaughtUp:
        """Reads what is new in the bucket. Raises BucketError."""
        done = CaughtUp()
        forgotten = await self._bury(done)
        known = self._known(forgotten, done)
        changed: list[str] = []
        async for key, md5 in self.blobs.digests(MANIFESTS):
            if key.startswith(SEGMENTS):
                continue
            self.progress(1)
            expected, _ = known.pop(_short(key), ("", 0))
            if expected != md5:
                changed.append(key)
            if len(changed) == _READS:
                await self._take_in(changed, forgotten, done)
                changed = []
        await self._take_in(changed, forgotten, done)
        with self._writing() as tables:
            for _, sealed in known.values():  # of these the bucket has no manifest any more
                self._unseal(tables, sealed)
        return done

    async def _bury(self, done: CaughtUp) -> Forgotten:
        """Notes all that was ever forgotten, so that it does not come back."""

        def complain(key: str, error: ManifestError) -> None:
            done.refused[key] = str(error)

        found = await read_tombstones(self.blobs, self.trust, complain)
        with self._writing() as tables:
            tables.notices.want(())  # all that is met here was told in its time
            for tombstone in found:
                tables.tombstones.put(tombstone)
                Bulk(self.connection).numbers_begin_beyond(max(tombstone.numbers, default=0))
        return forgotten_by(found)

    def _known(self, forgotten: Forgotten, done: CaughtUp) -> dict[bytes, tuple[str, int]]:
        """Of what the catalog knows, and may, the MD5 that its manifest has, and its key.

        Only of what was sealed; an MD5 is "" where something has changed since.
        """
        known: dict[bytes, tuple[str, int]] = {}
        last = 0
        while True:
            with self._writing() as tables:
                keys = tables.generations.keys(above=last, limit=_PORTION)
                for key in keys:
                    generation = tables.generations.load_key(key)
                    assert generation is not None
                    left = forgotten.without(generation)
                    if left is None or left != generation:
                        self._forget(tables, generation, left)
                        done.forgotten += 1
                    elif generation.sealed_revision:
                        known[_short(_key_of(generation))] = (self._md5(generation), key)
            if len(keys) < _PORTION:
                return known
            last = keys[-1]

    def _forget(self, tables: Tables, known: Generation, left: Generation | None) -> None:
        """Takes out a generation, or those of its slots of which nothing is `left`."""
        assert known.key is not None
        tables.prunings.order(tables.forgetting.deliveries(known.key), ready=True)
        if left is None:
            gone = known.slots
            tables.forgetting.generation(known)
        else:
            gone = tuple(slot for slot in known.slots if slot not in left.slots)
            for slot in gone:
                assert slot.number is not None
                tables.forgetting.slot(slot.number)
            keep(tables, known, left, now=self.now())
        digests = {asset.sha256 for slot in gone for asset in slot.assets}
        tables.forgetting.pictures(digests - tables.forgetting.still_shown(digests))

    def _md5(self, generation: Generation) -> str:
        if generation.sealed_revision < generation.revision:
            return ""
        text = manifest.render(generation)
        signed = self.signer.sign(text) if self.signer else text
        return hashlib.md5(signed, usedforsecurity=False).hexdigest()

    async def _take_in(self, keys: Sequence[str], forgotten: Forgotten, done: CaughtUp) -> None:
        texts = await asyncio.gather(*map(self._read, keys))
        with self._writing() as tables:
            for key, text in zip(keys, texts, strict=True):
                if text is None:
                    continue
                try:
                    found = parse(self.trust.open(text).document)
                    if _key_of(found) != key:
                        raise ManifestError("it lies where another generation's manifest belongs")
                except ManifestError as error:
                    done.refused[key] = str(error)
                    continue
                left = forgotten.without(found)
                if left is None:
                    tables.tombstones.erase([key])
                else:
                    self._join(tables, left, done)

    async def _read(self, key: str) -> bytes | None:
        try:
            return await read_whole(self.blobs, key)
        except BucketError:
            if await self.blobs.head(key) is None:
                return None  # forgotten just now
            raise

    def _join(self, tables: Tables, found: Generation, done: CaughtUp) -> None:
        """What a manifest says into the catalog; if that says more, it is to be written anew."""
        known = tables.generations.load(found.provider, found.id)
        if known is None:
            keep(tables, None, self._with_free_numbers(found, None), now=self.now())
            done.new += 1
            return
        after = joined(known, self._with_free_numbers(found, known.key))
        if found.revision > known.revision or not say_the_same(after, known):
            keep(tables, known, after, now=self.now())
            done.newer += 1
        elif not say_the_same(known, found):
            assert known.key is not None
            self._unseal(tables, known.key)

    def _with_free_numbers(self, found: Generation, key: int | None) -> Generation:
        """The same without the numbers that are another's by now.

        As they may be where an archive has gone on for a while without its catalog.
        """
        numbers = [slot.number for slot in found.slots if slot.number is not None]
        taken = {it for it, of in Bulk(self.connection).taken(numbers).items() if of != key}
        slots = (replace(it, number=None) if it.number in taken else it for it in found.slots)
        return replace(found, slots=tuple(slots)) if taken else found

    def _unseal(self, tables: Tables, key: int) -> None:
        """Has a manifest written again that does not show what the catalog says."""
        Bulk(self.connection).unsealed(key, sealed_revision=0)
        known = tables.generations.load_key(key)
        assert known is not None
        keep(tables, known, known, now=self.now())

    @contextmanager
    def _writing(self) -> Iterator[Tables]:
        self.connection.execute("BEGIN IMMEDIATE")
        yield Tables(self.connection)
        self.connection.execute("COMMIT")


def _short(key: str) -> bytes:
    """A key's stand-in, for there may be a million of them."""
    return hashlib.blake2b(key.encode(), digest_size=16).digest()


def _key_of(generation: Generation) -> str:
    return manifest_key(generation.provider, generation.id)
