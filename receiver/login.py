"""Logging in: a token typed into a form becomes a pass in the browser's cookies."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from aiohttp import web

from archiver.web.answers import problem
from archiver.web.rendering import Pages
from receiver.access import Keyring, is_of_our_own, too_many
from receiver.passes import COOKIE, LIFETIME, Passes

# A path of ours: browsers take a second slash, and a backslash too, for another host's name.
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*")


_FORM = "application/x-www-form-urlencoded"
# Of a filled-in form: a token, and the address of a page.
_MAX_FORM_BYTES = 1 << 14
_MAX_FIELDS = 8


class Login:
    """`/login` and `/logout`, where there are tokens."""

    def __init__(self, keyring: Keyring, passes: Passes, pages: Pages) -> None:
        self._keyring = keyring
        self._passes = passes
        self._pages = pages

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [
            web.get("/login", self._show),
            web.post("/login", self._enter),
            web.post("/logout", self._leave),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        return self._form(request.query.get("next", ""))

    async def _enter(self, request: web.Request) -> web.Response:
        if not is_of_our_own(request):
            return problem(403, "pages of others may not log anybody in here")
        if request.content_type != _FORM:
            return problem(415, f"this takes what a form sends: {_FORM}")
        body = await request.read()
        if len(body) > _MAX_FORM_BYTES:
            return problem(413, f"what is filled in has more than {_MAX_FORM_BYTES} bytes")
        # Never `request.post()`: it decodes by whatever charset a stranger names, and some take
        # time that grows with the square of the body.
        try:
            form = dict(parse_qsl(body.decode(errors="replace"), max_num_fields=_MAX_FIELDS))
        except ValueError:
            return problem(400, f"a form here has at most {_MAX_FIELDS} fields")
        wait_seconds = self._keyring.wait_seconds(request)
        if wait_seconds is not None:
            return too_many(wait_seconds)
        secret, leads_to = form.get("token", "").strip(), form.get("next", "")
        token = self._keyring.find(request, secret)
        if token is None:
            return self._form(leads_to, 401, "There is no such token.")
        if not {"read", "admin"}.intersection(token.scopes):
            return self._form(leads_to, 403, "This token lacks the scope read.")
        entered = web.Response(status=303, headers={"Location": _local(leads_to)})
        entered.set_cookie(
            COOKIE,
            self._passes.issue(token),
            max_age=int(LIFETIME.total_seconds()),
            path="/",
            secure=_came_by_https(request),
            httponly=True,
            samesite="Strict",
        )
        return entered

    async def _leave(self, request: web.Request) -> web.Response:
        if not is_of_our_own(request):
            return problem(403, "pages of others may not log anybody out here")
        # What the browser still holds of the archive goes, too: pages, thumbnails, what Back knows.
        told = {"Location": "/login", "Clear-Site-Data": '"cache", "storage"'}
        left = web.Response(status=303, headers=told)
        left.del_cookie(COOKIE, path="/")
        return left

    def _form(self, leads_to: str, status: int = 200, mistake: str | None = None) -> web.Response:
        return self._pages.page("login", status=status, next=_local(leads_to), mistake=mistake)


def _local(path: str) -> str:
    """Where to go on; nobody's link leads through us to another's page."""
    return path if _LOCAL.fullmatch(path) else "/"


def _came_by_https(request: web.Request) -> bool:
    """Whether the browser spoke TLS, be it with a proxy: of its own form it names the origin."""
    origin = request.headers.get("Origin", "")
    return request.secure or origin.lower().startswith("https://")
