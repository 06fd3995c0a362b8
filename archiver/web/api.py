"""The archive over HTTP, for reading: generations, assets, and their bytes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from archiver.blobs import BlobStore
from archiver.cards import card_of
from archiver.catalog import CatalogReader, Tables
from archiver.lifecycle import withheld
from archiver.models import Generation, Slot
from archiver.search import Hit, find
from archiver.story import generation_story, hit_summary
from archiver.web.answers import as_json, content, problem

PRESIGNED_SECONDS = 300


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
            web.get("/api/v1/assets/{number:[0-9]{1,18}}", self._asset),
            web.get("/api/v1/assets/{number:[0-9]{1,18}}/content", self._content),
        ]

    async def _generation(self, request: web.Request) -> web.Response:
        provider, generation_id = request.match_info["provider"], request.match_info["id"]

        def story(tables: Tables) -> dict[str, Any] | None:
            generation = tables.generations.load(provider, generation_id)
            return generation_story(tables, generation, now=self._now()) if generation else None

        found = await self._catalog.read(story)
        return as_json(found) if found else problem(404, "nothing is known of that generation")

    async def _asset(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])

        def summary(tables: Tables) -> dict[str, Any] | None:
            known = find(tables, number)
            if known is None:
                return None
            generation, slot = known
            hit = Hit(card=card_of(generation, slot), prompt=generation.params.prompt)
            story = generation_story(tables, generation, now=self._now())
            return {**hit_summary(hit), **_looks(tables, *known), "generation": story}

        found = await self._catalog.read(summary)
        return as_json(found) if found else problem(404, "no asset has that number")

    async def _content(self, request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["number"])
        found = await self._catalog.read(lambda tables: find(tables, number))
        asset = found[1].leading_asset if found else None
        if found is None or asset is None:
            return problem(404, why_absent(found))
        why = withheld(*found)
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
        shown = "attachment" if request.query.get("download") == "1" else "inline"
        headers = {
            "Content-Type": asset.media_type,
            "Content-Disposition": f'{shown}; filename="{filename}"',
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        # Another picture may come to lead, so that nobody may take it for granted that this does.
        return await content(
            request,
            self._blobs,
            asset.blob_key,
            size_bytes=asset.size_bytes,
            etag=f'"{asset.sha256.hex()}"',
            headers=headers,
        )


def _looks(tables: Tables, generation: Generation, slot: Slot) -> dict[str, Any]:
    """Which other slots have the very same bytes, and whether there is a thumbnail to be had."""
    asset = slot.leading_asset
    if asset is None:
        return {"duplicates": [], "thumbnail": False}
    same = tables.cards.with_digest(asset.sha256)
    preview = tables.previews.of([asset.sha256]).get(asset.sha256)
    made = preview is not None and not preview.reason
    return {
        "duplicates": [number for number in same if number != slot.number],
        "thumbnail": made and withheld(generation, slot) is None,
    }


def why_absent(found: tuple[Generation, Slot] | None) -> str:
    """Why there are no bytes to be had of what was, or was not, found."""
    if found is None:
        return "no asset has that number"
    _, slot = found
    return f"slot {slot.number} has no bytes: {slot.state} ({slot.reason})"
