"""The audit: whether every object is still in the bucket, as the catalog says that it is.

It goes along the digests, portion by portion, and what a portion came to is one commit; so it can
be stopped anywhere and goes on from there. Beside a running service it meets no surprise: bytes
are in the bucket before any row says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from archiver.blobs import BlobStore
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.fixity import AuditRow, Checked, Fixity, Stored
from archiver.errors import BucketError
from archiver.ledger import index_anew
from archiver.recovery.looking import Found
from archiver.recovery.sample import Sample, chosen

# How an object is looked at: the store is asked, or the bytes are read.
HEAD, BYTES = "head", "bytes"

# Digests that are listed in one transaction, and generations that are labelled in one.
_LISTED = 5000
_LABELLED = 200
# Where so many together cannot be read, the trouble is not theirs.
_MANY = 16

_LOST = (Fixity.MISSING, Fixity.DAMAGED)


class EmptyBucketError(BucketError):
    """A bucket without one object, which is rather the wrong one than one that has lost all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """One run after another over the objects of an archive.

    A `deep` one reads every byte, any other asks the store alone, but for objects of whose bytes it
    is known that they were damaged. `mend` brings one back: it says why not, or "" if it did. So
    many as `at_once` are looked at together, and a `portion` of them between two commits. Unless
    `believe_empty`, a bucket with nothing in it is refused.
    """

    catalog: Catalog
    reader: CatalogReader
    blobs: BlobStore
    deep: bool
    look: Callable[[Stored], Awaitable[Found]]
    read: Callable[[Stored], Awaitable[Found]]
    mend: Callable[[Stored], Awaitable[str]]
    at_once: int
    portion: int
    believe_empty: bool
    now: Callable[[], datetime]

    async def run(
        self,
        audit: AuditRow,
        sample: Sample | None,
        *,
        progress: Callable[[Sequence[Stored]], None],
    ) -> None:
        """Looks at everything, or at a sample of it, from where the run has stopped.

        `progress` is told of each portion once it is committed. Raises BucketError if the bucket
        cannot be used, which says nothing of its objects, and CatalogUnavailableError.
        """
        if await self._digests(b"", 1):
            await self._require_bucket()
        async for digests in self._portions(audit, sample):
            stored = await self.reader.read(partial(_stored, digests))
            checked = await self._check(stored)
            await self._record(audit, digests[-1], checked)
            progress(stored)
        await self.catalog.write(lambda tables: tables.fixity.end(audit, now=self.now()))

    async def _portions(
        self, audit: AuditRow, sample: Sample | None
    ) -> AsyncIterator[Sequence[bytes]]:
        """The digests still to be done, ascending."""
        if sample is None:
            reached = audit.reached
            while digests := await self._digests(reached, self.portion):
                yield digests
                reached = digests[-1]
            return
        everything = await self._all_digests()
        wanted = chosen(everything, sample.count(len(everything)), audit.seed)
        left = [digest for digest in wanted if digest > audit.reached]
        for start in range(0, len(left), self.portion):
            yield left[start : start + self.portion]

    async def _all_digests(self) -> list[bytes]:
        found: list[bytes] = []
        while more := await self._digests(found[-1] if found else b"", _LISTED):
            found += more
        return found

    async def _digests(self, above: bytes, limit: int) -> list[bytes]:
        return await self.reader.read(
            lambda tables: tables.fixity.digests(above=above, limit=limit)
        )

    async def _check(self, stored: Sequence[Stored]) -> list[Checked]:
        turns = asyncio.Semaphore(self.at_once)
        ways = await self._ways(stored)

        async def looked_at(one: Stored) -> Found:
            async with turns:
                return await self._look(one, ways[one.sha256])

        async def looked_at_again(one: Stored) -> Checked:
            async with turns:
                return await self._look_again(one, ways[one.sha256])

        looks = await asyncio.gather(*map(looked_at, stored))
        amiss = [one for one, seen in zip(stored, looks, strict=True) if seen.outcome != Fixity.OK]
        if len(stored) >= _MANY and all(it.outcome is Fixity.UNREADABLE for it in looks):
            raise BucketError(f"not one of {len(stored)} objects could be read: {looks[0].reason}")
        if amiss:
            await self._require_bucket()  # one that is down is not damaged
        again = await asyncio.gather(*map(looked_at_again, amiss))
        at, told = self.now(), {checked.sha256 for checked in again}
        well = (
            Checked(sha256=sha256, outcome=Fixity.OK, how=how, checked_at=at)
            for sha256, how in ways.items()
            if sha256 not in told
        )
        return [*well, *again]

    async def _ways(self, stored: Sequence[Stored]) -> Mapping[bytes, str]:
        """How each object is looked at; the store alone cannot clear what its bytes have shown."""
        digests = [one.sha256 for one in stored]
        if self.deep:
            return dict.fromkeys(digests, BYTES)
        known = await self.reader.read(lambda tables: tables.fixity.of(digests))
        suspects = {
            sha256
            for sha256, found in known.items()
            if found.outcome is not Fixity.OK and found.how == BYTES
        }
        return {sha256: BYTES if sha256 in suspects else HEAD for sha256 in digests}

    async def _look(self, stored: Stored, how: str) -> Found:
        return await (self.read if how == BYTES else self.look)(stored)

    async def _look_again(self, stored: Stored, how: str) -> Checked:
        """An object that was amiss a moment ago, now mended if it can be.

        No transfer is damaged twice, and an object may have been put anew meanwhile.
        """
        found = await self._look(stored, how)
        outcome, reason, mended_at = found.outcome, found.reason, None
        if outcome in _LOST:
            why_not = await self.mend(stored)
            reason = f"{reason}; {why_not}" if why_not else reason
            if not why_not:
                outcome, mended_at = Fixity.OK, self.now()
        return Checked(
            sha256=stored.sha256,
            outcome=outcome,
            how=how,
            reason=reason,
            checked_at=self.now(),
            mended_at=mended_at,
        )

    async def _record(self, audit: AuditRow, reached: bytes, checked: Sequence[Checked]) -> None:
        """Writes what was found, and lets the cards of these objects say so."""
        digests = [one.sha256 for one in checked]

        def record(tables: Tables) -> int:
            tables.fixity.put(checked)
            tables.fixity.advance(audit, reached=reached, checked=len(checked))
            return _label(tables, digests)

        labelled = await self.catalog.write(record)
        while labelled == _LABELLED:
            labelled = await self.catalog.write(lambda tables: _label(tables, digests))

    async def _require_bucket(self) -> None:
        """Raises BucketError unless the bucket can be used and has objects in it.

        A disk that is not mounted looks like an empty folder, and a wrong prefix like an empty
        bucket.
        """
        await self.blobs.check()
        if self.believe_empty:
            return
        async for _ in self.blobs.list("blobs/"):
            return
        raise EmptyBucketError(
            "the bucket has no object at all: see that bucket.url names the right one and that its "
            "disk is mounted; nothing is marked. If everything is gone indeed, add --yes"
        )


def _stored(digests: Sequence[bytes], tables: Tables) -> list[Stored]:
    return tables.fixity.stored(digests)


def _label(tables: Tables, digests: Sequence[bytes]) -> int:
    """Lets some cards say what was found of their bytes; how many generations that were."""
    keys = tables.fixity.mislabelled(digests, limit=_LABELLED)
    found = (tables.generations.load_key(key) for key in keys)
    index_anew(tables, [generation for generation in found if generation is not None])
    return len(keys)
