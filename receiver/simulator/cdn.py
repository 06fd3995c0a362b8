"""The pictures' door: what a link opens, for how long, and the damaged ways of serving it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from receiver.simulator.clock import now
from receiver.simulator.links import NO_SUCH_KEY, Denial, Gate

_PAGE = b"<!doctype html><title>One moment</title><p>Checking your browser before you proceed.</p>"
_PIECES = 32


@dataclass(kw_only=True, slots=True, eq=False)
class Kept:
    """A picture on a CDN: its true bytes, and how many bodies were served whole."""

    path: str
    picture: bytes = field(repr=False)
    faults: frozenset[str]
    gone_at: datetime | None
    downloads: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """What goes over the wire: `declared_bytes` is the Content-Length, whatever `body` holds."""

    content_type: str
    body: bytes
    declared_bytes: int


def serving(path: str, picture: bytes, faults: frozenset[str]) -> Serving:
    """How a picture is served under these faults, any of them together."""
    # The type follows the name and not the bytes, as it does on real CDNs.
    content_type = "image/png" if path.endswith(".png") else "image/jpeg"
    body = picture
    if "html" in faults:
        content_type, body = "text/html", _PAGE
    if "cut" in faults:
        body = body[: len(body) // 2]
    sent = body[: len(body) // 2] if "truncated" in faults else body
    return Serving(content_type=content_type, body=sent, declared_bytes=len(body))


class Cdn:
    """One provider's pictures under `prefix`, for whoever `gate` lets through."""

    def __init__(self, prefix: str, gate: Gate, *, base_url: str, slow_link_seconds: float) -> None:
        self._prefix = prefix
        self._gate = gate
        self._base_url = base_url
        self._slow_link_seconds = slow_link_seconds
        self._kept: dict[str, Kept] = {}
        self._moved: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        """Every verb comes here: which of them a link permits, the gate says."""
        return [web.route("*", self._prefix + "{name:.+}", self._serve)]

    def keep(
        self, name: str, picture: bytes, faults: frozenset[str], *, gone_at: datetime | None = None
    ) -> Kept:
        """Put a picture behind `prefix + name`; from `gone_at` on, no link opens it any more."""
        kept = Kept(path=self._prefix + name, picture=picture, faults=faults, gone_at=gone_at)
        self._kept[kept.path] = kept
        return kept

    def move(self, kept: Kept, name: str) -> None:
        """Put a picture behind another name, so that all its earlier links are dead."""
        self._moved.add(kept.path)
        del self._kept[kept.path]
        kept.path = self._prefix + name
        self._kept[kept.path] = kept

    def url(self, kept: Kept, query: str = "") -> str:
        """The whole link of a picture, with the query that the gate wants."""
        return f"{self._base_url}{kept.path}{query and '?'}{query}"

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path
        denial = self._gate.denial(
            path,
            request.rel_url.raw_query_string,
            verb=request.method,
            content_type=request.headers.get("Content-Type", ""),
            now=now(),
        )
        if denial is not None:
            return _refused(denial)
        kept = self._kept.get(path)
        if path in self._moved or (kept and kept.gone_at and kept.gone_at <= now()):
            return _refused(self._gate.gone)
        if kept is None or "missing" in kept.faults:
            return _refused(NO_SUCH_KEY)
        served = serving(path, kept.picture, kept.faults)
        pause_seconds = self._slow_link_seconds / _PIECES if "slow_link" in kept.faults else 0
        response = _response(served)
        with suppress(ConnectionResetError):  # whoever asked may hang up
            await _send(request, response, served, pause_seconds)
            if request.method == "GET" and len(served.body) == served.declared_bytes:
                kept.downloads += 1
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
    body = b"" if request.method == "HEAD" else served.body
    piece_bytes = max(1, len(body) // _PIECES) if pause_seconds else max(1, len(body))
    for start in range(0, len(body), piece_bytes):
        if start:
            await asyncio.sleep(pause_seconds)
        await response.write(body[start : start + piece_bytes])
    await response.write_eof()


def _refused(denial: Denial) -> web.Response:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{denial.code}</Code><Message>{denial.message}</Message></Error>"
    )
    return web.Response(status=denial.status, text=text, content_type="application/xml")
