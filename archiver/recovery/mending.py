"""An object that is gone or damaged, brought back from where it once came."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from archiver.blobs import BlobStore
from archiver.body import Body, Budget, collect
from archiver.catalog import CatalogReader, Tables, assets
from archiver.catalog.fixity import Stored
from archiver.egress import ANY_HOST, Egress
from archiver.errors import BucketError, FetchError, InboxUnavailableError
from archiver.inline import begun, decoded, is_inline, is_text, joined, unpacked
from archiver.media import Walker
from archiver.models import Fault, Generation, Link, Origin, Slot
from archiver.store import provenance_of

# The same picture may lie in any number of slots, and each may have many links.
_MOST_SLOTS = 50
_MOST_LINKS = 4

NO_LINK = "no link to it lives any more"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """A link that lives, and whose it is."""

    generation: Generation
    slot: Slot
    link: Link


@dataclass(frozen=True, kw_only=True, slots=True)
class Mending:
    """Brings objects back, through the same guard as any fetch.

    `reveal` gives a link's full URL back, or None if the delivery that held it is gone;
    `download_hosts` says from where a provider's results may come. `spool` is a folder for bodies
    that `budget` has no room for.
    """

    egress: Egress
    blobs: BlobStore
    catalog: CatalogReader
    reveal: Callable[[Link], str | None]
    download_hosts: Callable[[str], Collection[str]]
    budget: Budget
    spool: Path
    now: Callable[[], datetime]

    async def mend(self, stored: Stored) -> str:
        """Puts the very same bytes in the object's place; why not, or "" when it is well again."""
        sources = await self.catalog.read(lambda tables: [*_sources(tables, stored, self.now())])
        why = NO_LINK
        for source in sources[:_MOST_LINKS]:
            try:
                async with self._bytes_behind(source) as body:
                    if body.sha256 == stored.sha256:
                        await self._put(stored, body, source)
                        return await self._still_wanted(stored)
                why = f"{source.link.host} gives other bytes by now"
            except (BucketError, FetchError, InboxUnavailableError) as error:
                why = f"it could not be fetched again: {error}"
            except OSError as error:
                why = f"{self.spool} cannot hold it in passing: {error.strerror}"
        return why

    @asynccontextmanager
    async def _bytes_behind(self, source: _Source) -> AsyncIterator[Body]:
        url = self.reveal(source.link)
        if url is None:
            raise FetchError(Fault.GONE, "the delivery that held the link is no longer there")
        if is_inline(url):
            async with await self._collected(unpacked(url), None) as body:
                yield body
            return
        # As when it was fetched first: a client's own pictures lie wherever it pleases.
        hosts = ANY_HOST if source.slot.role else self.download_hosts(source.generation.provider)
        async with self.egress.get(url, hosts) as incoming:
            wire = incoming.chunks()
            first = await begun(wire)
            if is_text(first):
                made = self._collected(decoded(first, wire), None)
            else:
                made = self._collected(joined(first, wire), incoming.declared_bytes)
            async with await made as body:
                yield body

    async def _collected(self, chunks: AsyncIterator[bytes], declared_bytes: int | None) -> Body:
        return await collect(
            chunks, declared_bytes, budget=self.budget, spool_dir=self.spool, walker=Walker()
        )

    async def _still_wanted(self, stored: Stored) -> str:
        """Why it was taken away again, or ""; somebody may have wished it forgotten meanwhile."""
        if await self.catalog.read(lambda tables: tables.fixity.stored([stored.sha256])):
            return ""
        await self.blobs.delete(stored.blob_key)
        return "nobody refers to it any more"

    async def _put(self, stored: Stored, body: Body, source: _Source) -> None:
        await self.blobs.put(
            stored.blob_key,
            body,
            media_type=stored.media_type,
            metadata=provenance_of(source.generation, source.slot.index),
            replace=True,
        )


def _sources(tables: Tables, stored: Stored, now: datetime) -> Iterator[_Source]:
    """What may still give the bytes, the link that lives longest first within each slot."""
    for number in assets.slots_with_digest(tables.connection, stored.sha256)[:_MOST_SLOTS]:
        generation = tables.generations.load_slot(number)
        assert generation is not None  # a slot is of a generation
        slot = next(slot for slot in generation.slots if slot.number == number)
        if not any(
            asset.sha256 == stored.sha256 and asset.origin is Origin.PROVIDER
            for asset in slot.assets
        ):
            continue
        living = [it for it in slot.links if it.failure is None and it.expires_at > now]
        for link in sorted(living, key=lambda it: it.expires_at, reverse=True):
            yield _Source(generation=generation, slot=slot, link=link)
