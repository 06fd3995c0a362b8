"""Pictures of the archive by signed links, for clients whose provider has them no longer.

Whoever has such a link has the picture, for as long as the link says; nobody else has, whatever
number is guessed. It needs no key of the provider's and no token of ours.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiohttp import web

from archiver.blobs import BlobStore
from archiver.catalog import CatalogReader
from archiver.errors import BucketError, CatalogUnavailableError
from archiver.lifecycle import withheld
from archiver.log import Outage
from archiver.models import Asset, Generation, Slot, SlotState
from archiver.search import find

PREFIX = "/gateway/pictures/"
# As long as the providers' own live.
LIFETIME = timedelta(hours=24)

_PRESIGNED_SECONDS = 300
_PATH = re.compile(
    re.escape(PREFIX) + r"(?P<number>[0-9]{1,18})\.[a-z0-9]{1,5}"
    r"\?expires=(?P<expires>[0-9]{1,11})&signature=(?P<signature>[A-Za-z0-9_-]{43})",
    re.ASCII,
)


class PictureLinks:
    """Makes and reads links that nobody else can make."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def path(self, number: int, asset: Asset, now: datetime) -> str:
        """The path, with its query, of the picture with that archive number."""
        expires = int((now + LIFETIME).timestamp())
        extension = asset.blob_key.rpartition(".")[2]
        signature = self._sign(number, expires)
        return f"{PREFIX}{number}.{extension}?expires={expires}&signature={signature}"

    def number(self, path: str, now: datetime) -> int | None:
        """The archive number of a link that is ours and has not expired; else None."""
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        number, expires = int(found["number"]), int(found["expires"])
        genuine = hmac.compare_digest(self._sign(number, expires), found["signature"])
        return number if genuine and now.timestamp() < expires else None

    def left_seconds(self, path: str, now: datetime) -> int:
        """How long a link that is ours will still be good."""
        found = _PATH.fullmatch(path)
        return max(0, int(int(found["expires"]) - now.timestamp())) if found else 0

    def _sign(self, number: int, expires: int) -> str:
        mac = hmac.digest(self._key, f"{number} {expires}".encode(), "sha256")
        return urlsafe_b64encode(mac).rstrip(b"=").decode()


def servable(generation: Generation, slot: Slot) -> Asset | None:
    """What of a slot may be handed out: nothing held, nor what we drew and no longer show."""
    kept_back = slot.state is SlotState.HELD or withheld(generation, slot) is not None
    return None if kept_back else slot.leading_asset


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """The handler of everything under `PREFIX`."""

    links: PictureLinks
    catalog: CatalogReader
    blobs: BlobStore
    now: Callable[[], datetime]
    outage: Outage = field(
        default_factory=lambda: Outage("pictures are refused", "pictures are given out again")
    )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The bytes, or the way to them where the bucket hands them out itself."""
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        try:
            asset = await self._asset(request)
            if asset is None:
                return web.Response(status=404, text="no picture, or the link has expired\n")
            response = await self._send(request, asset)
        except (CatalogUnavailableError, BucketError) as error:
            self.outage.met(error)
            if request.writer.output_size:
                raise  # an answer has begun, and can only be cut off
            return web.Response(status=503, headers={"Retry-After": "5"})
        self.outage.over()
        return response

    async def _asset(self, request: web.BaseRequest) -> Asset | None:
        number = self.links.number(request.raw_path, self.now())
        if number is None:
            return None
        found = await self.catalog.read(lambda tables: find(tables, number))
        return servable(*found) if found else None

    async def _send(self, request: web.BaseRequest, asset: Asset) -> web.StreamResponse:
        left_seconds = self.links.left_seconds(request.raw_path, self.now())
        response = web.StreamResponse(headers=_headers(asset, left_seconds))
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        url = await self.blobs.presigned_url(
            asset.blob_key,
            expires_seconds=_PRESIGNED_SECONDS,
            media_type=asset.media_type,
            filename=asset.blob_key.rpartition("/")[2],
        )
        if url is not None:
            headers = {"Location": url, "Cache-Control": "no-store"}
            return web.Response(status=302, headers=headers)
        async with self.blobs.read(asset.blob_key) as chunks:
            await response.prepare(request)
            async for chunk in chunks:
                await response.write(chunk)
        await response.write_eof()
        return response


def _headers(asset: Asset, left_seconds: int) -> dict[str, str]:
    return {
        "Content-Type": asset.media_type,
        "Content-Length": str(asset.size_bytes),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "ETag": f'"{asset.sha256.hex()}"',
        # No longer than the link: what is forgotten meanwhile is gone everywhere by then.
        "Cache-Control": f"private, max-age={left_seconds}, immutable",
    }
