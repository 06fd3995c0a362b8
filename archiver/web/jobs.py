"""The archive's desk over HTTP, for renderers on other hosts (`archiver.desk.wire`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec
from aiohttp import web

from archiver.desk import Commission, wire
from archiver.desk.catalog import CatalogDesk
from archiver.desk.uploads import Uploads
from archiver.errors import FetchError, LeaseLostError, NotOfferedError
from archiver.models import Fault
from archiver.web.answers import as_json, problem, streamed
from archiver.web.api import PRESIGNED_SECONDS

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUS_OF_FAULT = {Fault.OURS: 503, Fault.TOO_LARGE: 413}
# Of a picture on its way.
_SILENCE_SECONDS = 30.0
_JOB = "/api/v1/jobs/{id:[0-9]{1,18}}"


class _MalformedError(Exception):
    """A request that says nothing we understand; the text says where."""


class JobsApi:
    """The routes of the private listener by which one draws elsewhere."""

    def __init__(self, desk: CatalogDesk) -> None:
        self._desk = desk
        self._uploads = Uploads(desk=desk)
        self._busy: set[tuple[int, int]] = set()

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [
            web.post("/api/v1/jobs/claim", _told(self._claim)),
            web.post(f"{_JOB}/heartbeat", _told(self._heartbeat)),
            web.post(f"{_JOB}/fail", _told(self._fail)),
            web.post(f"{_JOB}/upload", _told(self._upload)),
            web.put(f"{_JOB}/content", _told(self._content)),
            web.post(f"{_JOB}/complete", _told(self._complete)),
            web.get(f"{_JOB}/pictures/{{key:.+}}", _told(self._picture)),
        ]

    async def _claim(self, request: web.Request) -> web.StreamResponse:
        said = await _body(request, wire.Claim)
        try:
            commission = await self._desk.claim(said.worker, fresh=said.fresh, number=said.number)
        except NotOfferedError:
            # The reason may have words of others in it, which are not a renderer's to read.
            return problem(409, "that slot is not to be drawn, or is being drawn")
        return as_json(commission) if commission else web.Response(status=204)

    async def _heartbeat(self, request: web.Request) -> web.StreamResponse:
        said = await _body(request, wire.Heartbeat)
        wanted = await self._desk.keep(await self._commission(request, said.fence))
        return as_json(wire.Wanted(wanted=wanted))

    async def _fail(self, request: web.Request) -> web.StreamResponse:
        said = await _body(request, wire.Failed)
        commission = await self._commission(request, said.fence)
        await self._desk.fail(commission, said.verdict, said.reason)
        await self._uploads.discard(commission)
        return web.Response(status=204)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        said = await _body(request, wire.Offer)
        commission = await self._commission(request, said.fence)
        sha256 = bytes.fromhex(said.sha256)
        put = await self._uploads.presign(commission, sha256, said.size_bytes)
        if put is None:
            return web.Response(status=204)
        return as_json(wire.Upload(url=put.url, headers=dict(put.headers)))

    async def _content(self, request: web.Request) -> web.StreamResponse:
        commission = await self._commission(request, _fence(request))
        declared_bytes = request.content_length
        if declared_bytes is not None and declared_bytes > wire.MAX_PICTURE_BYTES:
            raise _too_large()
        with self._alone(commission):
            await self._uploads.receive(commission, _chunks(request), declared_bytes)
        return web.Response(status=204)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        said = await _body(request, wire.Completed)
        commission = await self._commission(request, said.fence)
        sha256 = bytes.fromhex(said.sha256)
        with self._alone(commission):
            await self._uploads.complete(commission, sha256, said.size_bytes, said.rendering)
        return web.Response(status=204)

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        commission = await self._commission(request, _fence(request))
        key = request.match_info["key"]
        try:
            asset = await self._desk.input_asset(commission, key)
        except NotOfferedError as error:
            return problem(404, str(error))
        url = await self._desk.store.blobs.presigned_url(
            key,
            expires_seconds=PRESIGNED_SECONDS,
            media_type=asset.media_type,
            filename=key.rpartition("/")[2],
        )
        if url is not None:
            raise web.HTTPFound(url, headers={"Cache-Control": "no-store"})
        headers = {"Content-Type": asset.media_type, "Content-Length": str(asset.size_bytes)}
        return await streamed(request, self._desk.store.blobs, key, headers)

    @contextmanager
    def _alone(self, commission: Commission) -> Iterator[None]:
        """One picture at a time for each lease: what all share of memory is shared by all."""
        lease = commission.job_id, commission.fence
        if lease in self._busy:
            raise LeaseLostError("this lease is bringing a picture already")
        self._busy.add(lease)
        try:
            yield
        finally:
            self._busy.discard(lease)

    async def _commission(self, request: web.Request, fence: int) -> Commission:
        return await self._desk.recall(int(request.match_info["id"]), fence)


def _told(handler: Handler) -> Handler:
    """The handler, with what the desk raises told as problem documents."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except _MalformedError as error:
            return problem(400, str(error))
        except LeaseLostError as error:
            return problem(409, str(error))
        except FetchError as error:
            return problem(_STATUS_OF_FAULT.get(error.fault, 422), str(error))

    return answer


async def _body(request: web.Request, of: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=of)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _MalformedError(f"the body is not understood: {error}") from error


def _fence(request: web.Request) -> int:
    try:
        return msgspec.convert(request.query.get("fence", ""), wire.Number, strict=False)
    except msgspec.ValidationError as error:
        raise _MalformedError("fence must be the number that the claim gave") from error


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body, as long as some of it comes; raises FetchError if nothing does."""
    read_bytes = 0
    while True:
        try:
            async with asyncio.timeout(_SILENCE_SECONDS):
                chunk = await request.content.readany()
        except TimeoutError as error:
            raise FetchError(Fault.SHORT, "the picture came too slowly") from error
        if not chunk:
            return
        read_bytes += len(chunk)
        if read_bytes > wire.MAX_PICTURE_BYTES:
            raise _too_large()
        yield chunk


def _too_large() -> FetchError:
    return FetchError(Fault.TOO_LARGE, f"a picture has at most {wire.MAX_PICTURE_BYTES} bytes")
