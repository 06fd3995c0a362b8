"""The bucket held against the rows by listing it: a thousand objects to a request, none looked at.

Both sides come in the order of their digests, so that neither is ever whole in memory. What seems
amiss is looked at once more at the end, for the service goes on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from archiver.blobs import BlobStore
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.fixity import Checked, Fixity, Stored
from archiver.keys import BLOBS
from archiver.ledger import index_anew
from archiver.recovery.audit import EmptyBucketError

_PAGE = 5000
_PORTION = 50
# Of the objects that no row knows so many are looked at again, and told of one by one.
MAX_ORPHANS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What a listing has come to: rows without an object, and objects without a row.

    The first `MAX_ORPHANS` of these are named; a fetch that is just being finished looks like one.
    """

    listed: int
    missing: tuple[Stored, ...]
    orphans: int
    named: tuple[str, ...]


NOT_LISTED = Compared(listed=0, missing=(), orphans=0, named=())


async def compare(
    blobs: BlobStore, reader: CatalogReader, *, progress: Callable[[int], None] = lambda _: None
) -> Compared:
    """Lists all blobs beside all rows; raises BucketError, also for a bucket without any blob."""
    listed, orphans, named = 0, 0, list[str]()
    missing: list[bytes] = []
    rows = _digests(reader)
    row = await anext(rows, None)
    async for key in blobs.list(BLOBS):
        listed += 1
        progress(1)
        digest = _digest_of(key)
        while row is not None and digest is not None and row < digest:
            missing.append(row)
            row = await anext(rows, None)
        if digest is not None and row == digest:
            row = await anext(rows, None)
            continue
        orphans += 1
        if len(named) < MAX_ORPHANS:
            named.append(key)
    if listed == 0 and row is not None:
        raise EmptyBucketError(
            "the bucket has no object at all: see that bucket.url names the right one and that its "
            "disk is mounted; nothing was done"
        )
    while row is not None:
        missing.append(row)
        row = await anext(rows, None)
    known = await _known(reader, named)
    lost = [stored async for stored in _still_missing(blobs, reader, missing)]
    return Compared(
        listed=listed,
        missing=tuple(lost),
        orphans=orphans - len(known),
        named=tuple(key for key in named if key not in known),
    )


async def bring_back(
    catalog: Catalog,
    missing: Sequence[Stored],
    *,
    mend: Callable[[Stored], Awaitable[str]],
    now: Callable[[], datetime],
    stop: asyncio.Event,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Fetches each again while a link to it lives, else marks it; how many are back."""
    back = 0
    for begin in range(0, len(missing), _PORTION):
        checked: list[Checked] = []
        for stored in missing[begin : begin + _PORTION]:
            if stop.is_set():
                break
            checked.append(_checked(stored, await mend(stored), now()))
            progress(1)
        back += sum(one.outcome is Fixity.OK for one in checked)
        await catalog.write(partial(_mark, checked))
        if stop.is_set():
            break
    return back


def _checked(stored: Stored, why_not: str, now: datetime) -> Checked:
    reason = "there is no such object"
    return Checked(
        sha256=stored.sha256,
        outcome=Fixity.MISSING if why_not else Fixity.OK,
        how="head",
        reason=f"{reason}; {why_not}" if why_not else reason,
        checked_at=now,
        mended_at=None if why_not else now,
    )


def _mark(checked: Sequence[Checked], tables: Tables) -> None:
    """Notes what was found, and lets the cards of these bytes say so."""
    tables.fixity.put(checked)
    digests = [one.sha256 for one in checked]
    keys = tables.fixity.mislabelled(digests, limit=_PAGE) if digests else []
    found = (tables.generations.load_key(key) for key in keys)
    index_anew(tables, [generation for generation in found if generation is not None])


async def _digests(reader: CatalogReader) -> AsyncIterator[bytes]:
    above = b""
    while True:
        page = await reader.read(partial(_page, above))
        for digest in page:
            yield digest
        if len(page) < _PAGE:
            return
        above = page[-1]


def _page(above: bytes, tables: Tables) -> list[bytes]:
    return tables.fixity.digests(above=above, limit=_PAGE)


async def _known(reader: CatalogReader, keys: Sequence[str]) -> set[str]:
    """Those whose row has been written since."""
    by_digest = {digest: key for key in keys if (digest := _digest_of(key)) is not None}
    stored = await reader.read(lambda tables: tables.fixity.stored([*by_digest]))
    return {by_digest[one.sha256] for one in stored}


async def _still_missing(
    blobs: BlobStore, reader: CatalogReader, digests: Sequence[bytes]
) -> AsyncIterator[Stored]:
    """Those that a row still refers to, and that are not there when one asks for them."""
    for stored in await reader.read(lambda tables: tables.fixity.stored(digests)):
        if await blobs.head(stored.blob_key) is None:
            yield stored


def _digest_of(key: str) -> bytes | None:
    """The digest in a blob's key; None if it is none of ours."""
    name = key.rpartition("/")[2].partition(".")[0]
    try:
        digest = bytes.fromhex(name)
    except ValueError:
        return None
    return digest if len(digest) == 32 and key.startswith(f"{BLOBS}sha256/") else None
