"""`GET /api/v1/export`: everything that a query finds, as long as somebody takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from pathlib import Path

from aiohttp import web

from archiver.blobs import BlobStore
from archiver.catalog import CatalogReader
from archiver.export import Format
from archiver.exporting.pages import lined, pages
from archiver.exporting.pictures import Tally
from archiver.exporting.zipped import zipped
from archiver.query import Query, QueryError
from archiver.web.answers import SILENCE_SECONDS, problem
from archiver.web.searching import OrderError, asked_of

# At once, in this process; each keeps a thread and some megabytes busy.
MOST_EXPORTS = 2

_MEDIA_TYPES = {
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.ZIP: "application/zip",
}


class ExportApi:
    """The route of the private listener; `spool_dir` is where a ZIP's index waits."""

    def __init__(
        self,
        catalog: CatalogReader,
        blobs: BlobStore,
        *,
        spool_dir: Path,
        now: Callable[[], datetime],
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._spool_dir = spool_dir
        self._now = now
        self._under_way = 0

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [web.get("/api/v1/export", self._export)]

    async def _export(self, request: web.Request) -> web.StreamResponse:
        form = request.query.get("format", Format.NDJSON)
        if form not in tuple(Format):
            return problem(400, f"format must be one of {', '.join(Format)}")
        try:
            query = asked_of(request, self._now())
        except QueryError as error:
            return problem(400, str(error), position=error.position)
        except OrderError as error:
            return problem(400, str(error))
        if self._under_way >= MOST_EXPORTS:
            return problem(503, f"{MOST_EXPORTS} exports are under way already; try again later")
        self._under_way += 1
        try:
            return await self._send(request, query, Format(form))
        finally:
            self._under_way -= 1

    async def _send(self, request: web.Request, query: Query, form: Format) -> web.StreamResponse:
        """Sends each piece when the one before it is taken, so that none pile up."""
        headers = {
            "Content-Type": _MEDIA_TYPES[form],
            "Content-Disposition": f'attachment; filename="holdfast-export.{form}"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        response = web.StreamResponse(headers=headers)
        async with aclosing(self._pieces(query, form)) as pieces:
            first = await anext(pieces, b"")  # so that what is amiss at once can still be said
            await response.prepare(request)
            if request.method == "HEAD":
                return response
            await _write(response, first)
            async for piece in pieces:
                await _write(response, piece)
        await response.write_eof()
        return response

    def _pieces(self, query: Query, form: Format) -> AsyncGenerator[bytes]:
        found = pages(self._catalog, query)
        if form is not Format.ZIP:
            return lined(form, found)
        spool_dir = self._spool_dir
        return zipped(found, self._blobs, spool_dir=spool_dir, at=self._now(), tally=Tally())


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    if piece:  # to aiohttp nothing is the end
        async with asyncio.timeout(SILENCE_SECONDS):
            await response.write(piece)
