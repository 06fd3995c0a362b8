"""Who may pass to a picture: anybody, or whoever holds a presigned link until one moment.

Presigned links behave like the OSS and S3 version 2 URLs behind which real providers put pictures:
the signature covers verb, content type, expiry and path, so HEAD on a GET link is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest
from typing import NamedTuple, Protocol

from receiver.simulator.signing import hmac_sha256_hex

_EXPIRES = re.compile(r"(?:^|&)Expires=(\d{1,15})(?:&|$)", re.ASCII)


class Denial(NamedTuple):
    """A storage service's refusal, in its own words."""

    code: str
    message: str
    status: int = 403


NO_SUCH_KEY = Denial("NoSuchKey", "The specified key does not exist.", 404)
EXPIRED = Denial("AccessDenied", "Request has expired.")

MISMATCH = Denial(
    "SignatureDoesNotMatch",
    "The request signature we calculated does not match the signature you provided.",
)


class Gate(Protocol):
    """Judges requests for pictures, not knowing which pictures there are."""

    @property
    def gone(self) -> Denial:
        """What the storage says of a picture that was there and is no more."""

    def denial(
        self, path: str, query: str, *, verb: str, content_type: str, now: datetime
    ) -> Denial | None:
        """Why this request may not have `path`, or None if it may."""


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Lets everybody through: plain links that work for as long as the picture is there."""

    gone: Denial = NO_SUCH_KEY

    def denial(
        self, path: str, query: str, *, verb: str, content_type: str, now: datetime
    ) -> Denial | None:
        """Always None."""
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """Mints and judges presigned links with one key."""

    key: bytes = field(repr=False)
    gone: Denial = EXPIRED

    def query(self, path: str, *, expires: int, verb: str = "GET", content_type: str = "") -> str:
        """The query string that opens `path` until `expires`, in epoch seconds."""
        signed = f"{verb}\n{content_type}\n{expires}\n{path}"
        return f"Expires={expires}&Signature={hmac_sha256_hex(self.key, signed.encode())}"

    def denial(
        self, path: str, query: str, *, verb: str, content_type: str, now: datetime
    ) -> Denial | None:
        """Why this request may not have `path`, or None if it may."""
        expiry = _EXPIRES.search(query)
        if expiry is None:
            return Denial("AccessDenied", "You have no right to access this object.")
        expires = int(expiry[1])
        if now.timestamp() >= expires:
            return EXPIRED
        expected = self.query(path, expires=expires, verb=verb, content_type=content_type)
        if compare_digest(expected.encode(), query.encode("utf-8", "replace")):
            return None
        return MISMATCH
