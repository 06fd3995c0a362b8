"""Presigned links: minted once, good for one verb on one path until one moment.

They behave like the OSS and S3 version 2 presigned URLs behind which real providers put pictures:
the signature covers verb, content type, expiry and path, so HEAD on a GET link is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest
from typing import NamedTuple

from receiver.simulator.signing import hmac_sha256_hex

_EXPIRES = re.compile(r"(?:^|&)Expires=(\d{1,15})(?:&|$)", re.ASCII)


class Denial(NamedTuple):
    """A storage service's refusal, in its own words."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """Mints and judges links with one key."""

    key: bytes = field(repr=False)

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
            return Denial("AccessDenied", "Request has expired.")
        expected = self.query(path, expires=expires, verb=verb, content_type=content_type)
        if compare_digest(expected.encode(), query.encode("utf-8", "replace")):
            return None
        return Denial(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        )
