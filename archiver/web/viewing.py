"""The page of one slot: its picture or why there is none, and everything that is known of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from aiohttp import web

from archiver.catalog import CatalogReader, Tables
from archiver.looks import DISTANCE, Looks
from archiver.models import Generation
from archiver.query import Query, QueryError, Sort, parse
from archiver.search import Hit, find, search
from archiver.story import generation_story
from archiver.web.answers import problem
from archiver.web.cells import Cell, cells
from archiver.web.origins import BucketOrigin
from archiver.web.patience import deadline
from archiver.web.rendering import Pages
from archiver.web.views import View, view

_PATH = "/assets/{number:[0-9]{1,18}}"
_MOST_CELLS = 24

# By number, and which way round.
_BACK = {Sort.NEWEST: Sort.OLDEST, Sort.OLDEST: Sort.NEWEST}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Neighbours:
    """The slots before and after one in the search that it was found by."""

    before: int | None = None
    after: int | None = None


class Viewing:
    """The page `/assets/{number}`; the number is the slot's for ever, and so is the address.

    `as_request` words a generation as its provider would be asked for it again.
    """

    def __init__(
        self,
        catalog: CatalogReader,
        pages: Pages,
        bucket_origin: BucketOrigin,
        looks: Looks,
        *,
        as_request: Callable[[Generation], str | None],
        now: Callable[[], datetime],
    ) -> None:
        self._catalog = catalog
        self._pages = pages
        self._bucket_origin = bucket_origin
        self._looks = looks
        self._as_request = as_request
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [web.get(_PATH, self._slot), web.get(f"{_PATH}/similar", self._similar)]

    async def _slot(self, request: web.Request) -> web.Response:
        number, q = int(request.match_info["number"]), request.query.get("q", "")
        query, late = self._query(q), deadline()

        def look(tables: Tables) -> tuple[View | None, _Neighbours]:
            return self._view(tables, number), _neighbours(tables, query, number, late)

        found, neighbours = await self._catalog.read(look)
        if found is None:
            return problem(404, f"no picture has the number {number}")
        similar = await self._alike(number) if request.query.get("similar") == "1" else None
        return self._pages.page(
            "asset",
            media_from=await self._bucket_origin.find(),
            q=q,
            it=found,
            similar=similar,
            neighbours=neighbours,
        )

    async def _similar(self, request: web.Request) -> web.Response:
        found = await self._alike(int(request.match_info["number"]))
        return self._pages.page("similar", similar=found)

    async def _alike(self, number: int) -> list[Cell]:
        """Slots whose pictures look like that of this one, the most alike first."""

        def look(tables: Tables) -> list[Cell]:
            known = find(tables, number)
            asset = known[1].leading_asset if known is not None else None
            if asset is None:
                return []
            preview = tables.previews.of([asset.sha256]).get(asset.sha256)
            if preview is None or preview.phash is None:
                return []
            alike = self._looks.similar(
                tables, asset.sha256, preview.phash, distance=DISTANCE, limit=_MOST_CELLS
            )
            return _cells(tables, [it.number for it in alike], but=number)

        return await self._catalog.read(look)

    def _query(self, text: str) -> Query:
        try:
            return parse(text, now=self._now())
        except QueryError:
            return Query()

    def _view(self, tables: Tables, number: int) -> View | None:
        known = find(tables, number)
        if known is None:
            return None
        generation, slot = known
        siblings = [it.number for it in generation.slots if it.number is not None and not it.role]
        asset = slot.leading_asset
        same = tables.cards.with_digest(asset.sha256) if asset is not None else []
        now = self._now()
        return view(
            generation,
            slot,
            story=generation_story(tables, generation, now=now),
            request=self._as_request(generation),
            siblings=_cells(tables, siblings, but=number),
            duplicates=_cells(tables, same, but=number),
            now=now,
        )


def _cells(tables: Tables, numbers: Sequence[int], *, but: int) -> list[Cell]:
    """Those slots as cells, in their order."""
    wanted = [number for number in numbers if number != but][:_MOST_CELLS]
    known = tables.cards.load(wanted)
    hits = [
        Hit(card=known[number][0], prompt=known[number][1]) for number in wanted if number in known
    ]
    digests = [hit.card.sha256 for hit in hits if hit.card.sha256 is not None]
    return cells(hits, tables.previews.of(digests))


def _neighbours(tables: Tables, query: Query, number: int, late: Callable[[], bool]) -> _Neighbours:
    """None where the order is not that of time, or nothing was found soon enough."""
    if query.sort not in _BACK:
        return _Neighbours()
    both = (replace(query, sort=_BACK[query.sort]), query)
    pages = [search(tables, it, cursor=str(number), limit=1, late=late) for it in both]
    before, after = (next((hit.card.number for hit in page.hits), None) for page in pages)
    return _Neighbours(before=before, after=after)
