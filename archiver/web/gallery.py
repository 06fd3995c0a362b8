"""The gallery: where the archive is searched and looked at, with JavaScript or without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from archiver.catalog import CatalogReader, Tables
from archiver.query import Query, QueryError, parse
from archiver.query.fields import FIELDS
from archiver.search import Count, CursorError, Page, overview, search
from archiver.web.answers import problem
from archiver.web.cells import Cell, cells
from archiver.web.choices import Group, groups, orders
from archiver.web.origins import BucketOrigin
from archiver.web.patience import deadline
from archiver.web.pointing import pointed
from archiver.web.refining import Refining
from archiver.web.rendering import Pages

PAGE = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """What the address of a page says, understood."""

    text: str
    query: Query
    cursor: str | None
    now: datetime

    def refining(self) -> Refining:
        return Refining(self.text, now=self.now)


class Gallery:
    """The page `/`, and the parts of it that come later."""

    def __init__(
        self,
        catalog: CatalogReader,
        pages: Pages,
        bucket_origin: BucketOrigin,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._catalog = catalog
        self._pages = pages
        self._bucket_origin = bucket_origin
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [
            web.get("/", self._index),
            web.get("/parts/cells", self._cells),
            web.get("/parts/facets", self._facets),
        ]

    async def _index(self, request: web.Request) -> web.Response:
        try:
            asked = self._asked(request)
            page, found = await self._page(asked, eager=True)
            told = await self._overview(asked) if request.query.get("facets") == "1" else None
        except QueryError as error:
            return self._refused(request.query.get("q", ""), error)
        except CursorError as error:
            return problem(400, str(error))
        return self._pages.page(
            "search",
            media_from=await self._bucket_origin.find(),
            q=asked.text,
            hints=[pointed(asked.text, it.position, it.sentence) for it in asked.query.hints],
            orders=orders(asked.refining(), asked.query.sort),
            fields=FIELDS,
            cells=found,
            page=page,
            is_first=asked.cursor is None,
            count=told[0] if told else _count(asked, page),
            groups=told[1] if told else None,
            mistake=None,
        )

    async def _cells(self, request: web.Request) -> web.Response:
        try:
            asked = self._asked(request)
            page, found = await self._page(asked, eager=False)
        except (QueryError, CursorError) as error:
            return problem(400, str(error))
        return self._pages.page("cells", q=asked.text, cells=found, page=page)

    async def _facets(self, request: web.Request) -> web.Response:
        try:
            asked = self._asked(request)
            count, found = await self._overview(asked)
        except QueryError as error:
            return problem(400, str(error))
        return self._pages.page("facets", q=asked.text, count=count, groups=found)

    def _asked(self, request: web.Request) -> _Asked:
        """Raises QueryError."""
        text, now = request.query.get("q", ""), self._now()
        return _Asked(
            text=text,
            query=parse(text, now=now),
            cursor=request.query.get("cursor") or None,
            now=now,
        )

    async def _page(self, asked: _Asked, *, eager: bool) -> tuple[Page, list[Cell]]:
        """Raises CursorError."""
        late = deadline()

        def look(tables: Tables) -> tuple[Page, list[Cell]]:
            page = search(tables, asked.query, cursor=asked.cursor, limit=PAGE, late=late)
            digests = [hit.card.sha256 for hit in page.hits if hit.card.sha256 is not None]
            return page, cells(page.hits, tables.previews.of(digests), eager=eager)

        return await self._catalog.read(look)

    async def _overview(self, asked: _Asked) -> tuple[Count, list[Group]]:
        late = deadline()
        count, facets = await self._catalog.read(
            lambda tables: overview(tables, asked.query, late=late)
        )
        return count, groups(facets, asked.refining(), now=asked.now)

    def _refused(self, text: str, error: QueryError) -> web.Response:
        """The page with what was typed, and what is wrong with it."""
        return self._pages.page(
            "search",
            status=400,
            q=text,
            hints=[],
            orders=[],
            fields=FIELDS,
            cells=[],
            page=None,
            is_first=True,
            count=None,
            groups=None,
            mistake=pointed(text, error.position, str(error)),
        )


def _count(asked: _Asked, page: Page) -> Count | None:
    """How many there are, where one look shows all of them."""
    if asked.cursor is not None or page.cursor is not None:
        return None
    return Count(number=len(page.hits), exact=True)
