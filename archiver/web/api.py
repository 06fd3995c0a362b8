"""The archive over HTTP, for reading: generations, assets, their bytes, and search."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from archiver.blobs import BlobStore
from archiver.catalog import CatalogReader, Tables
from archiver.errors import BucketError, CatalogUnavailableError
from archiver.lifecycle import withheld
from archiver.search import Hit, find, search
from archiver.story import generation_story, hit_summary

MAX_LIMIT = 200
PRESIGNED_SECONDS = 300

_encode = msgspec.json.Encoder().encode


class ArchiveApi:
    """The GET routes of the private listener."""

    def __init__(
        self, catalog: CatalogReader, blobs: BlobStore, *, now: Callable[[], datetime]
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [
            web.get("/api/v1/generations/{provider}/{id:[^/]+}", self._generation),
            web.get("/api/v1/assets", self._search),
            web.get("/api/v1/assets/{number:[0-9]{1,18}}", self._asset),
            web.get("/api/v1/assets/{number:[0-9]{1,18}}/content", self._content),
        ]

    async def _generation(self, request: web.Request) -> web.Response:
        provider, generation_id = request.match_info["provider"], request.match_info["id"]

        def story(tables: Tables) -> dict[str, Any] | None:
            generation = tables.generations.load(provider, generation_id)
            return generation_story(tables, generation, now=self._now()) if generation else None

        found = await self._catalog.read(story)
        return _json(found) if found else problem(404, "nothing is known of that generation")

    async def _search(self, request: web.Request) -> web.Response:
        limit, cursor = request.query.get("limit", "50"), request.query.get("cursor", "")
        if not _is_number(limit) or not 1 <= int(limit) <= MAX_LIMIT:
            return problem(400, f"limit must be a number from 1 to {MAX_LIMIT}")
        if cursor and not _is_number(cursor):
            return problem(400, "cursor must be one that a page of this search gave")
        words = request.query.get("q", "")

        def page(tables: Tables) -> dict[str, Any]:
            found = search(tables, words, cursor=int(cursor) if cursor else None, limit=int(limit))
            hits = [hit_summary(hit) for hit in found.hits]
            return {"hits": hits, "cursor": str(found.cursor) if found.cursor else None}

        return _json(await self._catalog.read(page))

    async def _asset(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])

        def summary(tables: Tables) -> dict[str, Any] | None:
            hit = find(tables, number)
            if hit is None:
                return None
            story = generation_story(tables, hit.generation, now=self._now())
            return {**hit_summary(hit), "generation": story}

        found = await self._catalog.read(summary)
        return _json(found) if found else problem(404, "no asset has that number")

    async def _content(self, request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["number"])
        hit = await self._catalog.read(lambda tables: find(tables, number))
        asset = hit.slot.leading_asset if hit else None
        if hit is None or asset is None:
            return problem(404, _why_absent(hit))
        why = withheld(hit.generation, hit.slot)
        if why is not None:
            # Not 451, for it is no law that forbids it: the rule is ours, and holds for any token.
            return problem(403, f"slot {number} is not shown: {why}")
        filename = asset.blob_key.rpartition("/")[2]
        url = await self._blobs.presigned_url(
            asset.blob_key,
            expires_seconds=PRESIGNED_SECONDS,
            media_type=asset.media_type,
            filename=filename,
        )
        if url is not None:
            raise web.HTTPFound(url, headers={"Cache-Control": "no-store"})
        headers = {
            "Content-Type": asset.media_type,
            "Content-Length": str(asset.size_bytes),
            "Content-Disposition": f'inline; filename="{filename}"',
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "ETag": f'"{asset.sha256.hex()}"',
            "Cache-Control": "private, max-age=31536000, immutable",
        }
        response = web.StreamResponse(headers=headers)
        async with self._blobs.read(asset.blob_key) as chunks:
            await response.prepare(request)
            if request.method != "HEAD":  # aiohttp would write what it is given
                async for chunk in chunks:
                    await response.write(chunk)
        await response.write_eof()
        return response


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers our own trouble with 503 and a reason, never with a bare 500."""
    try:
        return await handler(request)
    except (CatalogUnavailableError, BucketError) as error:
        if request.writer.output_size:
            raise  # an answer has begun, and can only be cut off
        return problem(503, str(error))


def problem(status: int, detail: str) -> web.Response:
    """An error as `application/problem+json` (RFC 9457)."""
    headers = {"Retry-After": "5"} if status == 503 else None
    return web.Response(
        status=status,
        body=_encode({"status": status, "detail": detail}),
        content_type="application/problem+json",
        headers=headers,
    )


def _json(value: Any) -> web.Response:
    return web.Response(body=_encode(value), content_type="application/json")


def _is_number(text: str) -> bool:
    """Whether it is one that SQLite can hold."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def _why_absent(hit: Hit | None) -> str:
    if hit is None:
        return "no asset has that number"
    return f"slot {hit.number} has no bytes: {hit.slot.state} ({hit.slot.reason})"
