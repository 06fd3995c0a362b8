"""The pictures' door: expiring links, and the damaged ways of serving what lies behind them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from receiver.simulator.clock import now
from receiver.simulator.links import Denial, Links
from receiver.simulator.studio import Studio

_PAGE = b"<!doctype html><title>One moment</title><p>Checking your browser before you proceed.</p>"
_PIECES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """What goes over the wire: `declared_bytes` is the Content-Length, whatever `body` holds."""

    content_type: str
    body: bytes
    declared_bytes: int


def serving(picture: bytes, faults: frozenset[str]) -> Serving:
    """How a picture is served under these faults, any of them together."""
    # The type follows the name and not the bytes, as it does on real CDNs.
    content_type, body = "image/jpeg", picture
    if "html" in faults:
        content_type, body = "text/html", _PAGE
    if "cut" in faults:
        body = body[: len(body) // 2]
    sent = body[: len(body) // 2] if "truncated" in faults else body
    return Serving(content_type=content_type, body=sent, declared_bytes=len(body))


class Cdn:
    """Serves `/outputs/<id>.jpg` to whoever holds an unexpired link."""

    def __init__(self, studio: Studio, links: Links, *, slow_link_seconds: float) -> None:
        self._studio = studio
        self._links = links
        self._slow_link_seconds = slow_link_seconds

    def routes(self) -> list[web.RouteDef]:
        """Every verb comes here: which of them a link permits, its signature says."""
        return [web.route("*", "/outputs/{id}.jpg", self._serve)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        denial = self._links.denial(
            request.rel_url.raw_path,
            request.rel_url.raw_query_string,
            verb=request.method,
            content_type=request.headers.get("Content-Type", ""),
            now=now(),
        )
        if denial is not None:
            return _refused(403, denial)
        generation = self._studio.find(request.match_info["id"])
        if generation is None or generation.picture is None or "missing" in generation.faults:
            return _refused(404, Denial("NoSuchKey", "The specified key does not exist."))
        served = serving(generation.picture, generation.faults)
        pause_seconds = self._slow_link_seconds / _PIECES if "slow_link" in generation.faults else 0
        response = _response(served)
        with suppress(ConnectionResetError):  # whoever asked may hang up
            await _send(request, response, served, pause_seconds)
            if len(served.body) == served.declared_bytes:
                self._studio.count_download(generation.id)
        return response


def _response(served: Serving) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = served.content_type
    response.content_length = served.declared_bytes
    if len(served.body) < served.declared_bytes:
        response.force_close()
    return response


async def _send(
    request: web.Request, response: web.StreamResponse, served: Serving, pause_seconds: float
) -> None:
    await response.prepare(request)
    piece_bytes = max(1, len(served.body) // _PIECES) if pause_seconds else max(1, len(served.body))
    for start in range(0, len(served.body), piece_bytes):
        if start:
            await asyncio.sleep(pause_seconds)
        await response.write(served.body[start : start + piece_bytes])
    await response.write_eof()


def _refused(status: int, denial: Denial) -> web.Response:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{denial.code}</Code><Message>{denial.message}</Message></Error>"
    )
    return web.Response(status=status, text=text, content_type="application/xml")
