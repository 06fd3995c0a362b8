"""The pictures in the bucket beside those that manifests tell of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from archiver.blobs import BlobStore
from archiver.keys import BLOBS
from archiver.recovery.findings import Finding, lost, orphan


async def compare_objects(
    blobs: BlobStore,
    expected: Iterator[str],
    vanishing: Collection[str],
    tell: Callable[[Finding], None],
) -> int:
    """Tells of pictures that nothing tells of, and of those that are gone; how many there are.

    `expected` are the keys that there should be, in the order of their bytes. What is `vanishing`
    is told of elsewhere.
    """
    count, wanted = 0, next(expected, None)
    async for key in blobs.list(BLOBS):
        count += 1
        while wanted is not None and wanted < key:
            tell(lost(wanted))
            wanted = next(expected, None)
        if wanted == key:
            wanted = next(expected, None)
        elif key not in vanishing:
            tell(orphan(key))
    while wanted is not None:
        tell(lost(wanted))
        wanted = next(expected, None)
    return count
