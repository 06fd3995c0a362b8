"""Pages out of templates: one set of headers for all, and static files that are read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from archiver.moments import to_text
from archiver.web.cells import GREATEST_RATIO, LEAST_RATIO
from archiver.web.facts import moment_text

_FOLDER = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

# Nothing is loaded but from here, and nothing is run or styled that stands in a page itself.
_POLICY = (
    "default-src 'none'; img-src {media}; media-src {media}; script-src 'self'; style-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Without any referrer a browser would not tell us either that it is our own form that it sends.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Nobody but this browser may keep it, and it must ask before it shows it as new.
    "Cache-Control": "private, no-cache",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """A static file, as it is given out."""

    name: str
    media_type: str
    body: bytes

    @property
    def address(self) -> str:
        stem, _, extension = self.name.rpartition(".")
        return f"/static/{stem}.{sha256(self.body).hexdigest()[:12]}.{extension}"


class Pages:
    """Makes pages, and gives out the static files that they name.

    `with_logout`: whoever looks has logged in, and may log out.
    """

    def __init__(self, *, with_logout: bool = False) -> None:
        self._environment = _environment(with_logout=with_logout)

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [web.get("/static/{name}", self._give)]

    def page(
        self, template: str, *, status: int = 200, media_from: str | None = None, **values: Any
    ) -> web.Response:
        """A page, or a part of one; its pictures may come from that origin, too."""
        text = self._environment.get_template(f"{template}.html").render(status=status, **values)
        policy = _POLICY.format(media=" ".join(filter(None, ["'self'", media_from])))
        return web.Response(
            status=status,
            body=text.encode("utf-8", "replace"),  # half a surrogate pair is no text
            content_type="text/html",
            charset="utf-8",
            headers={**_HEADERS, "Content-Security-Policy": policy},
        )

    async def _give(self, request: web.Request) -> web.Response:
        file = _static_files().get(request.path)
        if file is None:
            raise web.HTTPNotFound
        return web.Response(
            body=file.body,
            content_type=file.media_type,
            charset="utf-8",
            headers={
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "public, max-age=31536000, immutable",
            },
        )


@cache
def _static_files() -> Mapping[str, _File]:
    """All of them, by their addresses; one that changes has another address."""
    paths = (path for path in (_FOLDER / "static").iterdir() if path.suffix in _TYPES)
    files = (
        _File(name=path.name, media_type=_TYPES[path.suffix], body=_body(path)) for path in paths
    )
    return {file.address: file for file in files}


def _body(path: Path) -> bytes:
    """A file's bytes; to the styles a class is added for each ratio of width to height.

    For no element may have a style of its own (`_POLICY`).
    """
    body = path.read_bytes()
    if path.suffix != ".css":
        return body
    ratios = range(LEAST_RATIO, GREATEST_RATIO + 1)
    return body + "".join(f".r{ratio}{{--r:{ratio / 100}}}\n" for ratio in ratios).encode()


@cache
def _environment(*, with_logout: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    static = {file.name: file.address for file in _static_files().values()}
    environment.globals |= {"static": static, "with_logout": with_logout}
    environment.filters |= {"moment": moment_text, "iso": to_text, "address": _address}
    for template in environment.list_templates():
        environment.get_template(template)  # compiled now, and not while somebody waits
    return environment


def _address(path: str, **query: Any) -> str:
    """A path of ours with its query, without what is nothing."""
    said = {name: value for name, value in query.items() if value not in (None, "", False)}
    return f"{path}?{urlencode(said, errors='replace')}" if said else path
