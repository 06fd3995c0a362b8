"""What routes of the archive answer alike: JSON, bytes, and problems that say what is amiss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from archiver.blobs import BlobStore
from archiver.errors import BucketError, CatalogUnavailableError

_encode = msgspec.json.Encoder().encode


def as_json(value: Any) -> web.Response:
    """A value as JSON."""
    return web.Response(body=_encode(value), content_type="application/json")


async def streamed(
    request: web.Request, blobs: BlobStore, key: str, headers: Mapping[str, str]
) -> web.StreamResponse:
    """An object's bytes, with these headers; raises BucketError before anything is sent."""
    response = web.StreamResponse(headers=headers)
    async with blobs.read(key) as chunks:
        await response.prepare(request)
        if request.method != "HEAD":  # aiohttp would write what it is given
            async for chunk in chunks:
                await response.write(chunk)
    await response.write_eof()
    return response


def problem(status: int, detail: str, **more: object) -> web.Response:
    """An error as `application/problem+json` (RFC 9457), with `more` members of its own."""
    return web.Response(
        status=status,
        body=_encode({"status": status, "detail": detail, **more}),
        content_type="application/problem+json",
        headers={"Retry-After": "5"} if status == 503 else None,
    )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers our own trouble with 503 and a reason, never with a bare 500."""
    try:
        return await handler(request)
    except (CatalogUnavailableError, BucketError) as error:
        if request.writer.output_size:
            raise  # an answer has begun, and can only be cut off
        return problem(503, str(error))
