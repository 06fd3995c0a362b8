"""What requests to all providers have in common: keys in headers, ids in paths, other bodies."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import msgspec

from receiver.exchange import Request
from receiver.providers.values import as_text

_JSON_TYPE = ("Content-Type", "application/json")


def authorization(api_key: str) -> tuple[str, str]:
    """The header that shows a key as a bearer's token (RFC 6750)."""
    return "Authorization", f"Bearer {api_key}"


def post(path: str, document: object, *headers: tuple[str, str]) -> Request:
    """A document posted as JSON."""
    body = msgspec.json.encode(document)
    return Request(method="POST", path=path, headers=(*headers, _JSON_TYPE), body=body)


def bearer(request: Request) -> str | None:
    """The token of `Authorization: Bearer …` (RFC 6750); None if there is none."""
    scheme, _, token = request.header("Authorization").strip().partition(" ")
    return as_text(token) if scheme.lower() == "bearer" else None


def header_key(request: Request) -> str | None:
    """The key in `X-API-Key`; None if there is none."""
    return as_text(request.header("X-API-Key"))


def as_step(generation_id: str) -> str | None:
    """An id as one step of a path; None if no escaping makes it one (RFC 3986, 3.3 and 6.2.2)."""
    if generation_id in ("", ".", ".."):
        return None
    return quote(generation_id, safe="", errors="replace")


def is_plain(request: Request) -> bool:
    """Whether the body is as it is meant, with no content-encoding."""
    return request.header("Content-Encoding").strip().lower() in ("", "identity")


def with_body(request: Request, body: bytes) -> Request:
    """The request with another body, and without the length of the one it had."""
    headers = tuple(it for it in request.headers if it[0].lower() != "content-length")
    return replace(request, headers=headers, body=body)
