"""Writing segments: whatever manifest is newer than its segment makes that segment written anew.

A segment covers a range of archive numbers, so that there are few, nothing has to be merged, and
what was forgotten is gone with the next.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from archiver import manifest
from archiver.blobs import BlobStore
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.keys import SEGMENTS, segment_key
from archiver.recovery.locking import locked
from archiver.recovery.segments import WIDTH, line, pack
from archiver.signing import Signer

# Generations to a transaction, which nobody has to wait for.
_PORTION = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Segmenting:
    """Brings the segments in the bucket up to date; `lock` is a file, so that one does at a time.

    Whoever takes rows out of the catalog and has the segment written after that can be sure that
    no segment holds them any more.
    """

    catalog: Catalog
    reader: CatalogReader
    blobs: BlobStore
    signer: Signer | None
    lock: Path

    async def catch_up(self) -> int:
        """Writes every segment that is behind; how many. Raises what bucket and catalog raise."""
        behind = await self.reader.read(lambda tables: tables.segmenting.behind(WIDTH))
        for first in behind:
            await self.write(first)
        return len(behind)

    async def write(self, first: int) -> None:
        """Writes the segment of the numbers from `first` on, in place of what was there."""
        async with locked(self.lock):
            lines, shown = await self._lines(first)
            key = await self._put(first, lines) if lines else ""
            async for known in self.blobs.list(segment_prefix(first)):
                if known != key:
                    await self.blobs.delete(known)
            for start in range(0, len(shown), _PORTION):
                some = shown[start : start + _PORTION]
                await self.catalog.write(partial(_note, some))

    async def _lines(self, first: int) -> tuple[list[bytes], list[tuple[int, int]]]:
        """The manifests on lines, and the `(key, revision)` of each."""
        lines: list[bytes] = []
        shown: list[tuple[int, int]] = []
        begin, end = first, first + WIDTH
        while begin < end:
            page = partial(_page, begin=begin, end=end, signer=self.signer)
            found, revisions, begin = await self.reader.read(page)
            lines += found
            shown += revisions
        return lines, shown

    async def _put(self, first: int, lines: Sequence[bytes]) -> str:
        packed = await asyncio.to_thread(pack, lines, self.signer)
        key = segment_key(first, hashlib.sha256(packed).digest())
        await self.blobs.put(key, packed, media_type="application/gzip", metadata={})
        return key


def segment_prefix(first: int) -> str:
    """How the keys of all segments begin that cover the numbers from `first` on."""
    return f"{SEGMENTS}{first:012}-"


def range_of(number: int) -> int:
    """The first number of the range that an archive number is in."""
    return number // WIDTH * WIDTH


def _page(
    tables: Tables, *, begin: int, end: int, signer: Signer | None
) -> tuple[list[bytes], list[tuple[int, int]], int]:
    """Some lines, the `(key, revision)` of each, and the number at which to go on."""
    found = tables.segmenting.within(begin, end, limit=_PORTION)
    lines, shown = [], []
    for _, key in found:
        generation = tables.generations.load_key(key)
        assert generation is not None  # all of one moment
        text = manifest.render(generation)
        md5 = hashlib.md5(signer.sign(text) if signer else text, usedforsecurity=False)
        digests = [asset.sha256 for slot in generation.slots for asset in slot.assets]
        lines.append(line(generation, md5.hexdigest(), tables.previews.of(digests)))
        shown.append((key, generation.revision))
    return lines, shown, found[-1][0] + 1 if len(found) == _PORTION else end


def _note(shown: Sequence[tuple[int, int]], tables: Tables) -> None:
    tables.segmenting.shown(shown)
