"""Whether the present index says what the bucket says, generation by generation.

The service goes on meanwhile, so what seems different is looked at once more, and only what is
different then is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, NamedTuple

from archiver.blobs import BlobStore, read_whole
from archiver.catalog import CatalogReader, Tables
from archiver.errors import ManifestError
from archiver.keys import manifest_key
from archiver.manifest_parser import parse
from archiver.models import Generation
from archiver.recovery.tombstones import Forgotten
from archiver.signing import Trust

# Generations to a page of either side, each page in a transaction of its own.
_PAGE = 200

Name = tuple[str, str]


class Difference(NamedTuple):
    """A generation of which the index and the bucket say different things, and which."""

    name: Name
    says: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparing:
    """Compares the index that is in use with one that was made of the bucket alone."""

    present: CatalogReader
    rebuilt: CatalogReader
    blobs: BlobStore
    trust: Trust
    forgotten: Forgotten

    async def differences(
        self, looked_at: Callable[[int], None] = lambda count: None
    ) -> AsyncIterator[Difference]:
        """Those that there still are at a second look; raises what bucket and catalog raise.

        `looked_at` is told of so many names more after each page.
        """
        last: Name = ("", "")
        while True:
            page = partial(_page, last=last)
            known, shown = await self.present.read(page), await self.rebuilt.read(page)
            # Beyond the end of a page nothing is known of that side yet.
            ends = [max(page) for page in (known, shown) if len(page) == _PAGE]
            last = min(ends) if ends else max([*known, *shown], default=last)
            names = sorted(name for name in known.keys() | shown.keys() if name <= last)
            for name in names:
                if difference(known.get(name), shown.get(name)):
                    says = await self._second_look(name)
                    if says:
                        yield Difference(name, says)
            looked_at(len(names))
            if not ends:
                return

    async def _second_look(self, name: Name) -> str:
        shown = await self.rebuilt.read(lambda tables: tables.generations.load(*name))
        key = manifest_key(*name)
        if await self.blobs.head(key) is not None:
            try:
                own = parse(self.trust.open(await read_whole(self.blobs, key)).document)
            except ManifestError:
                pass  # told when it was met first
            else:
                newer = shown is None or own.revision > shown.revision
                shown = self.forgotten.without(own) if newer else shown
        known = await self.present.read(lambda tables: tables.generations.load(*name))
        return difference(known, shown)


def difference(known: Generation | None, shown: Generation | None) -> str:
    """What the index and the bucket say differently of one generation; "" if nothing.

    That the bucket was not told yet is no difference: the index knows that it was not.
    """
    if shown is None:
        if known is None or known.sealed_revision == 0:
            return ""
        return "the index says that it has a manifest, and there is none"
    if known is None:
        return "the index does not know it"
    if known.revision < shown.revision:
        return f"the bucket shows revision {shown.revision}, the index {known.revision}"
    if known.revision > shown.revision:
        if known.sealed_revision <= shown.revision:
            return ""
        return (
            f"the bucket shows revision {shown.revision}, the index says it was told of "
            f"{known.sealed_revision}"
        )
    differing = ", ".join(_differing(known, shown))
    return f"not the same: {differing}" if differing else ""


def _page(tables: Tables, *, last: Name) -> dict[Name, Generation]:
    return tables.generations.load_all(tables.generations.after(last, limit=_PAGE))


def _differing(known: Generation, shown: Generation) -> Iterator[str]:
    """The names of the fields that are not the same, but for those that no manifest shows."""
    own = {"key", "hinted_at", "sealed_revision", "slots"}
    yield from _fields(known, shown, own)
    ours = {slot.index: slot for slot in known.slots}
    theirs = {slot.index: slot for slot in shown.slots}
    for index in sorted(ours.keys() | theirs.keys()):
        if index in ours and index in theirs:
            yield from (f"slot {index} {it}" for it in _fields(ours[index], theirs[index], set()))
        else:
            yield f"slot {index}"


def _fields(one: Any, other: Any, but: set[str]) -> Iterator[str]:
    names = (field.name for field in fields(one) if field.name not in but)
    return (name for name in names if getattr(one, name) != getattr(other, name))
