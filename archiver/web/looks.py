"""Pictures by their looks, over HTTP: thumbnails, and what looks alike."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from archiver.blobs import BlobStore
from archiver.catalog import CatalogReader, Tables
from archiver.errors import HoldfastError
from archiver.keys import thumb_key
from archiver.lifecycle import withheld
from archiver.looks import DISTANCE, MAX_DISTANCE, Looks
from archiver.models import Generation, Slot
from archiver.previews import MEDIA_TYPE, Preview
from archiver.search import Hit, find
from archiver.story import hit_summary
from archiver.web.answers import as_json, content, problem
from archiver.web.api import PRESIGNED_SECONDS, why_absent

MAX_LIMIT = 200
_LIMIT = 50


class LooksApi:
    """`GET /api/v1/assets/{number}/thumbnail` and `…/similar?distance=&limit=`."""

    def __init__(self, catalog: CatalogReader, blobs: BlobStore, looks: Looks) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._looks = looks

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        asset = "/api/v1/assets/{number:[0-9]{1,18}}"
        return [
            web.get(f"{asset}/thumbnail", self._thumbnail),
            web.get(f"{asset}/similar", self._similar),
        ]

    async def _thumbnail(self, request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["number"])

        def look(tables: Tables) -> tuple[bytes, str | None]:
            generation, slot, sha256, preview = _looked_up(tables, number)
            if preview.reason:
                raise _NothingToSeeError(f"slot {number} has no thumbnail: {preview.reason}")
            return sha256, withheld(generation, slot)

        try:
            sha256, why = await self._catalog.read(look)
        except _NothingToSeeError as error:
            return problem(404, str(error))
        if why is not None:
            return problem(403, f"slot {number} is not shown: {why}")
        return await self._picture(request, sha256)

    async def _picture(self, request: web.Request, sha256: bytes) -> web.StreamResponse:
        key = thumb_key(sha256)
        filename = key.rpartition("/")[2]
        url = await self._blobs.presigned_url(
            key, expires_seconds=PRESIGNED_SECONDS, media_type=MEDIA_TYPE, filename=filename
        )
        if url is not None:
            raise web.HTTPFound(url, headers={"Cache-Control": "no-store"})
        head = await self._blobs.head(key)
        if head is None:
            return problem(404, f"the bucket has no {key} any more")
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Content-Disposition": f'inline; filename="{filename}"',
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        return await content(
            request,
            self._blobs,
            key,
            size_bytes=head.size_bytes,
            etag=f'"{sha256.hex()}-thumbnail"',
            headers=headers,
        )

    async def _similar(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        distance = _whole(request, "distance", DISTANCE, least=0, most=MAX_DISTANCE)
        limit = _whole(request, "limit", _LIMIT, least=1, most=MAX_LIMIT)
        if distance is None:
            return problem(400, f"distance must be a whole number from 0 to {MAX_DISTANCE}")
        if limit is None:
            return problem(400, f"limit must be a whole number from 1 to {MAX_LIMIT}")

        def look(tables: Tables) -> dict[str, Any]:
            _, _, sha256, preview = _looked_up(tables, number)
            if preview.phash is None:
                why = preview.reason or "it has nothing in it to be compared by"
                raise _NothingToSeeError(f"slot {number} looks like no other: {why}")
            similar = self._looks.similar(
                tables, sha256, preview.phash, distance=distance, limit=limit
            )
            cards = tables.cards.load([look.number for look in similar])
            hits = [
                {**hit_summary(Hit(card=card, prompt=prompt)), "distance": look.distance}
                for look in similar
                for card, prompt in (cards[look.number],)
            ]
            return {"of": sha256.hex(), "hits": hits}

        try:
            return as_json(await self._catalog.read(look))
        except _NothingToSeeError as error:
            return problem(404, str(error))


class _NothingToSeeError(HoldfastError):
    """There is no such slot, or no picture of it, or nothing was derived of that yet."""


def _looked_up(tables: Tables, number: int) -> tuple[Generation, Slot, bytes, Preview]:
    """What leads among a slot's pictures, by its digest, and its preview."""
    found = find(tables, number)
    asset = found[1].leading_asset if found else None
    if found is None or asset is None:
        raise _NothingToSeeError(why_absent(found))
    preview = tables.previews.of([asset.sha256]).get(asset.sha256)
    if preview is None:
        picture = asset.media_type.startswith("image/")
        why = "it is made soon" if picture else f"it is {asset.media_type}"
        raise _NothingToSeeError(f"slot {number} has no thumbnail: {why}")
    return *found, asset.sha256, preview


def _whole(request: web.Request, name: str, default: int, *, least: int, most: int) -> int | None:
    """The number that the query gives; None if it is not one within those bounds."""
    text = request.query.get(name)
    if text is None:
        return default
    is_number = text.isascii() and text.isdigit() and len(text) < 9
    return int(text) if is_number and least <= int(text) <= most else None
