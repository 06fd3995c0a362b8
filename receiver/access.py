"""Who may use the private listener: anybody on loopback, else bearers of a token with scope.

A browser that has logged in shows a pass instead, which is as good for reading and for no more.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from hashlib import sha256
from ipaddress import ip_address
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from archiver.errors import ConfigError
from archiver.web.answers import problem
from archiver.web.error_pages import wants_page
from receiver.passes import COOKIE, Passes
from receiver.peers import FailureLimit, Network, caller
from receiver.settings import Token

_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/login", "/logout"})
_OPEN_FOLDER = "/static/"
_ANY = frozenset[str]()
# The scope that a request wants is that of the first row with its method and the beginning of its
# path. A token of the scope admin has all of them; no other scope contains another.
_SCOPES = (
    ("/api/v1/jobs/", _ANY, "worker"),
    ("/", frozenset({"GET", "HEAD"}), "read"),
    ("/", _ANY, "write"),
)
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Keyring:
    """The tokens there are, for whoever shows one; from whose address too many wrong ones come must
    wait, and then no token of theirs is looked at.
    """

    def __init__(
        self,
        tokens: Mapping[str, Token],
        failures: FailureLimit,
        trusted_proxies: tuple[Network, ...],
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self.tokens = tokens
        self._failures = failures
        self._trusted_proxies = trusted_proxies
        self._monotonic = monotonic

    def wait_seconds(self, request: web.Request) -> int | None:
        """How long this caller has to wait until a token of theirs is looked at; None: not."""
        return self._failures.retry_after_seconds(self._caller(request), self._monotonic())

    def find(self, request: web.Request, secret: str) -> Token | None:
        """The token that has this secret; that none has is remembered of the caller."""
        given = sha256(secret.encode("utf-8", "surrogateescape")).hexdigest().encode()
        found = None
        for token in self.tokens.values():
            if hmac.compare_digest(given, token.sha256.lower().encode()):
                found = token
        if found is None:
            self._failures.failed(self._caller(request), self._monotonic())
        return found

    def _caller(self, request: web.Request) -> str:
        forwarded = request.headers.getall("X-Forwarded-For", ())
        return caller(request.remote or "", forwarded, self._trusted_proxies)


def guard(host: str, keyring: Keyring, passes: Passes | None = None) -> Middleware:
    """The middleware for a listener on `host`; raises ConfigError if it would be open to others.

    Without `passes` nobody can log in.
    """
    require_tokens(host, keyring.tokens)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in _OPEN_PATHS or request.path.startswith(_OPEN_FOLDER):
            return await handler(request)
        if not keyring.tokens:
            refused = _refused_without_tokens(request)
            return problem(403, refused) if refused else await handler(request)
        scope = _scope(request.method, request.path)
        token = None
        if (secret := _bearer(request)) is not None:
            wait_seconds = keyring.wait_seconds(request)
            if wait_seconds is not None:
                return too_many(wait_seconds)
            token = keyring.find(request, secret)
        if passes is not None and scope == "read" and "Authorization" not in request.headers:
            token = passes.token_of(request.cookies.get(COOKIE, ""))
            if token is not None and _is_built_in(request):
                return problem(403, "by a pass, pages of others may show nothing of ours")
        if token is None:
            return _unknown(request, can_log_in=passes is not None)
        if scope not in token.scopes and "admin" not in token.scopes:
            return problem(403, f"the token lacks the scope {scope}")
        return await handler(request)

    return check


def require_tokens(host: str, tokens: Mapping[str, Token]) -> None:
    """Raises ConfigError if a listener on `host` would be open to others."""
    if not tokens and not _is_loopback(host):
        raise ConfigError(
            f"the private listener stands on {host}, which others can reach, and there is no "
            'token: add [tokens.NAME] with sha256 = "…" (of a long random secret) and scopes'
        )


def _refused_without_tokens(request: web.Request) -> str | None:
    """Why it is not answered where anybody on this machine may ask; None if it is."""
    # A page in the operator's browser may know our port, but not speak for our name.
    if _asked_for(request) not in _LOCAL_NAMES:
        return "without tokens, only requests to localhost are answered"
    if request.method not in ("GET", "HEAD") and not is_of_our_own(request):
        return "without tokens, pages of others may not change anything here"
    if _is_built_in(request):
        return "without tokens, pages of others may show nothing of ours"
    return None


def _scope(method: str, path: str) -> str:
    rows = (row for row in _SCOPES if path.startswith(row[0]))
    return next((scope for _, methods, scope in rows if not methods or method in methods), "admin")


def _asked_for(request: web.Request) -> str | None:
    """The host that the request names; None if what it names is none."""
    try:
        return request.url.host
    except ValueError:
        return None


def is_of_our_own(request: web.Request) -> bool:
    """Whether no browser says of it that another's page sends it (Fetch Metadata, RFC 6454)."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("Host")


def _is_built_in(request: web.Request) -> bool:
    """Whether another's page asks for it as a part of itself, and does not lead a reader here."""
    if request.headers.get("Sec-Fetch-Site") not in ("cross-site", "same-site"):
        return False
    said = request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest")
    return said != ("navigate", "document")


def too_many(wait_seconds: int) -> web.Response:
    """What is said to a caller from whose address too many wrong tokens have come."""
    refused = problem(429, f"too many wrong tokens; try again in {wait_seconds} seconds")
    refused.headers["Retry-After"] = str(wait_seconds)
    return refused


def _bearer(request: web.Request) -> str | None:
    """The secret that a request shows; None if it shows none."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def _unknown(request: web.Request, *, can_log_in: bool) -> web.Response:
    """What is said to who shows neither a token nor a pass; who looks at pages may log in."""
    refused = problem(401, "a bearer token is needed")
    refused.headers["WWW-Authenticate"] = "Bearer"
    if not (can_log_in and wants_page(request) and request.method in ("GET", "HEAD")):
        return refused
    if request.headers.get("HX-Request") == "true":
        # A part of a page is asked for again with the whole of it.
        refused.headers["HX-Refresh"] = "true"
        return refused
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        # A link from elsewhere: the browser keeps the pass back until our own page asks for it.
        # In a sandbox it would be nobody's page, and the pass kept back for ever.
        told = {
            "Refresh": "0",
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'",
        }
        return web.Response(status=401, headers=told, text="One moment…")
    raise web.HTTPFound(f"/login?next={quote(request.path_qs, safe='')}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
