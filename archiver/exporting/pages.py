"""All that a query finds, page after page, each in a short reading of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from functools import partial

from archiver.catalog import CatalogReader, Tables
from archiver.export import Format, Row, beginning, lines, row_of
from archiver.models import Generation, Slot
from archiver.query import Query
from archiver.search import Hit, search

PAGE_SLOTS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One slot that was found, and the whole of what it is of."""

    hit: Hit
    generation: Generation

    @property
    def number(self) -> int:
        """The archive number."""
        return self.hit.card.number

    @property
    def slot(self) -> Slot:
        """The slot itself."""
        return next(slot for slot in self.generation.slots if slot.number == self.number)

    @property
    def row(self) -> Row:
        """What an export says of it."""
        return row_of(self.hit, self.generation)


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundPage:
    """Slots in the order that was asked for; `cursor` goes on after them, None at the end."""

    found: tuple[Found, ...]
    cursor: str | None


async def pages(
    catalog: CatalogReader, query: Query, *, cursor: str | None = None
) -> AsyncGenerator[FoundPage]:
    """Every page from the cursor on; one where hardly anything fits may be empty.

    No reading spans two pages, so however slow whoever takes them is, the catalog's log can be
    shortened meanwhile. Raises CursorError and CatalogUnavailableError.
    """
    while True:
        page = await catalog.read(partial(_page, query=query, cursor=cursor))
        yield page
        cursor = page.cursor
        if cursor is None:
            return


async def lined(form: Format, found_pages: AsyncIterator[FoundPage]) -> AsyncGenerator[bytes]:
    """The lines of each page, in one piece; before the first whatever stands before all lines."""
    head = beginning(form)
    async for page in found_pages:
        # A hundredth of a second or more, in which others have to be answered.
        yield head + await asyncio.to_thread(lines_of, form, page)
        head = b""


def lines_of(form: Format, page: FoundPage) -> bytes:
    """A line for each slot of a page."""
    return lines(form, [found.row for found in page.found])


def _page(tables: Tables, query: Query, cursor: str | None) -> FoundPage:
    page = search(tables, query, cursor=cursor, limit=PAGE_SLOTS)
    names = {(hit.card.provider, hit.card.generation_id): None for hit in page.hits}
    generations = tables.generations.load_all(list(names))
    found = tuple(
        Found(hit=hit, generation=generations[hit.card.provider, hit.card.generation_id])
        for hit in page.hits
    )
    return FoundPage(found=found, cursor=page.cursor)
