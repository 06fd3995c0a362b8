"""Search over HTTP: pages of what a query finds, and what all of it is like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from aiohttp import web

from archiver.catalog import CatalogReader, Tables
from archiver.clock import monotonic
from archiver.errors import HoldfastError
from archiver.query import Query, QueryError, Sort, parse
from archiver.search import CursorError, overview, search
from archiver.story import hit_summary
from archiver.web.answers import as_json, problem

MAX_LIMIT = 200

# Who waits longer has a page of what was found until then.
SECONDS = 1.0

T = TypeVar("T")


class OrderError(HoldfastError):
    """An order that there is not, or that is not the one which the query itself asks for."""


def asked_of(request: web.Request, now: datetime) -> Query:
    """The query in `q`, and in `sort` its order where it does not say it itself.

    Raises QueryError and OrderError.
    """
    text, order = request.query.get("q", ""), request.query.get("sort")
    query = parse(text, now=now)
    if order is None:
        return query
    if order not in tuple(Sort):
        raise OrderError(f"sort must be one of {', '.join(Sort)}")
    # Of two orders in a text the last holds, so that one in `q` shows.
    if parse(f"sort:{order} {text}", now=now).sort != order:
        raise OrderError("q asks for another order than sort does: leave one of them out")
    return replace(query, sort=Sort(order))


class SearchApi:
    """`GET /api/v1/assets?q=&sort=&limit=&cursor=` and `GET /api/v1/facets?q=`."""

    def __init__(self, catalog: CatalogReader, *, now: Callable[[], datetime]) -> None:
        self._catalog = catalog
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [web.get("/api/v1/assets", self._page), web.get("/api/v1/facets", self._facets)]

    async def _page(self, request: web.Request) -> web.Response:
        limit = request.query.get("limit", "50")
        is_number = limit.isascii() and limit.isdigit() and len(limit) < 9
        if not is_number or not 1 <= int(limit) <= MAX_LIMIT:
            return problem(400, f"limit must be a number from 1 to {MAX_LIMIT}")

        def page(tables: Tables, query: Query, late: Callable[[], bool]) -> dict[str, Any]:
            cursor = request.query.get("cursor") or None
            found = search(tables, query, cursor=cursor, limit=int(limit), late=late)
            hits = [hit_summary(hit) for hit in found.hits]
            return {"hits": hits, "cursor": found.cursor, "partial": found.partial}

        answer = await self._asked(request, page)
        if isinstance(answer, web.Response):
            return answer
        response = as_json(answer)
        if answer["cursor"] is not None:
            following = request.rel_url.update_query(cursor=answer["cursor"])
            response.headers["Link"] = f'<{following}>; rel="next"'
        return response

    async def _facets(self, request: web.Request) -> web.Response:
        def summary(tables: Tables, query: Query, late: Callable[[], bool]) -> dict[str, Any]:
            found, facets = overview(tables, query, late=late)
            return {"count": {"number": found.number, "exact": found.exact}, "facets": facets}

        answer = await self._asked(request, summary)
        return answer if isinstance(answer, web.Response) else as_json(answer)

    async def _asked(
        self,
        request: web.Request,
        work: Callable[[Tables, Query, Callable[[], bool]], dict[str, Any]],
    ) -> dict[str, Any] | web.Response:
        """What `work` makes of the query, and the hints on it; or why it cannot be asked."""
        try:
            query = asked_of(request, self._now())
            ends_at = monotonic() + SECONDS
            answer = await self._catalog.read(
                lambda tables: work(tables, query, lambda: monotonic() > ends_at)
            )
        except QueryError as error:
            return problem(400, str(error), position=error.position)
        except (CursorError, OrderError) as error:
            return problem(400, str(error))
        hints = [{"position": hint.position, "hint": hint.sentence} for hint in query.hints]
        return {**answer, "hints": hints}
