"""What requests to all providers have in common: keys in headers, ids in paths, other bodies."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from receiver.exchange import Request
from receiver.providers.values import as_text

JSON_TYPE = ("Content-Type", "application/json")


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
