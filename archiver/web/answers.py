"""What routes of the archive answer alike: JSON, bytes, and problems that say what is amiss."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from archiver.blobs import BlobStore
from archiver.errors import BucketError, CatalogUnavailableError
from archiver.log import logger
from archiver.web.conditions import Part, UnsatisfiableError, is_known, wanted_part

# Whoever takes nothing for so long is gone.
SILENCE_SECONDS = 60.0

_encode = msgspec.json.Encoder().encode

# Nobody but the client may keep it, and the client must ask before it shows it again.
_REVALIDATED = {"Cache-Control": "private, no-cache"}

# What the application refuses by itself, before a handler of ours is reached or while it reads.
_REFUSALS = {
    404: "there is nothing at this path; /openapi.json says what there is",
    405: "what is at this path does not take that method; Allow says which it takes",
    413: "the body is larger than anything that is taken here",
}


def as_json(value: Any) -> web.Response:
    """A value as JSON."""
    return web.Response(body=_encode(value), content_type="application/json")


def problem(status: int, detail: str, **more: object) -> web.Response:
    """An error as `application/problem+json` (RFC 9457), with `more` members of its own."""
    return web.Response(
        status=status,
        body=_encode({"status": status, "detail": detail, **more}),
        content_type="application/problem+json",
        headers={"Cache-Control": "no-store", **({"Retry-After": "5"} if status == 503 else {})},
    )


async def streamed(
    request: web.Request,
    blobs: BlobStore,
    key: str,
    headers: Mapping[str, str],
    part: Part | None = None,
) -> web.StreamResponse:
    """An object's bytes or a part of them, with these headers, one of them Content-Length.

    Raises BucketError: before anything is sent, or where there is less than was promised.
    """
    response = web.StreamResponse(status=200 if part is None else 206, headers=headers)
    begin, end = (0, None) if part is None else (part.begin, part.end)
    missing_bytes = response.content_length or 0
    async with blobs.read(key, begin=begin, end=end) as chunks:
        await response.prepare(request)
        if request.method == "HEAD":  # aiohttp would write what it is given
            return response
        async for chunk in chunks:
            async with asyncio.timeout(SILENCE_SECONDS):
                await response.write(chunk)
            missing_bytes -= len(chunk)
    if missing_bytes > 0:
        raise BucketError(f"{key} has {missing_bytes} bytes less than it had")
    await response.write_eof()
    return response


async def content(
    request: web.Request,
    blobs: BlobStore,
    key: str,
    *,
    size_bytes: int,
    etag: str,
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """An object's bytes to whoever has them not yet: all of them, or the part that is asked for.

    `etag` is a strong one, quoted; `headers` say what the bytes are. Raises BucketError.
    """
    known = {"ETag": etag, **_REVALIDATED}
    if is_known(_said(request, "If-None-Match"), etag):
        return web.Response(status=304, headers=known)
    wishes = _said(request, "Range") if request.method == "GET" else None
    try:
        part = wanted_part(wishes, _said(request, "If-Range"), etag=etag, size_bytes=size_bytes)
    except UnsatisfiableError:
        refused = problem(416, f"it has {size_bytes} bytes, and none where they are asked for")
        refused.headers["Content-Range"] = f"bytes */{size_bytes}"
        return refused
    told = {**headers, **known, "Accept-Ranges": "bytes", "Content-Length": str(size_bytes)}
    if part is not None:
        told["Content-Length"] = str(part.end - part.begin)
        told["Content-Range"] = part.content_range(size_bytes)
    return await streamed(request, blobs, key, told, part)


@web.middleware
async def revalidated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives JSON an entity tag, and 304 to whoever has the very same already."""
    response = await handler(request)
    asks = request.method in ("GET", "HEAD")
    if not (asks and isinstance(response, web.Response) and response.status == 200):
        return response
    if response.content_type != "application/json" or not isinstance(response.body, bytes):
        return response
    etag = f'"{sha256(response.body).hexdigest()[:32]}"'
    known = {"ETag": etag, **_REVALIDATED}
    if is_known(_said(request, "If-None-Match"), etag):
        return web.Response(status=304, headers=known)
    response.headers.update(known)
    return response


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Says what went wrong as a problem document, whoever's fault it is.

    Redirections pass, and so does what happens once an answer has begun: it can only be cut off.
    """
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _refusal(error)
    except (CatalogUnavailableError, BucketError) as error:
        if request.writer.output_size:
            raise
        return problem(503, str(error))
    except (ConnectionError, TimeoutError):
        raise  # whoever asked is gone, or takes nothing
    except Exception as error:
        logger().exception("a request met a bug", method=request.method, path=request.path)
        if request.writer.output_size:
            raise
        return problem(500, f"a bug of ours ({type(error).__name__}); the log says where")


def _refusal(error: web.HTTPException) -> web.Response:
    refused = problem(error.status, _REFUSALS.get(error.status) or error.reason)
    if "Allow" in error.headers:
        refused.headers["Allow"] = error.headers["Allow"]
    return refused


def _said(request: web.Request, header: str) -> str | None:
    """All that the client says in lines of that header."""
    lines = request.headers.getall(header, [])
    return ", ".join(lines) if lines else None
