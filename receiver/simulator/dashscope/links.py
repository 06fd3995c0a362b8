"""Presigned links as Alibaba's object store makes them (OSS signature version 1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest
from urllib.parse import parse_qs, urlencode

from receiver.simulator.links import EXPIRED, MISMATCH, Denial
from receiver.simulator.signing import hmac_sha1_base64

_BUCKET = "dashscope-result-bj"
_UNSIGNED = Denial("AccessDenied", "You have no right to access this object.")


@dataclass(frozen=True, kw_only=True, slots=True)
class OssLinks:
    """Mints and judges links with one key.

    The signature covers the verb and the Content-Type, so HEAD on a link is refused, and so is a
    GET that names a type. It is base64 in a query, so whoever unescapes `%2B` breaks it.
    """

    key: bytes = field(repr=False)
    access_key_id: str = "LTAIpractice"
    gone: Denial = EXPIRED

    def query(self, path: str, *, expires: int) -> str:
        """The query string that opens `path` for GET until `expires`, in epoch seconds."""
        return urlencode(
            {
                "Expires": expires,
                "OSSAccessKeyId": self.access_key_id,
                "Signature": self._signature("GET", "", str(expires), path),
            }
        )

    def denial(
        self, path: str, query: str, *, verb: str, content_type: str, now: datetime
    ) -> Denial | None:
        """Why this request may not have `path`, or None if it may."""
        given = {name: values[0] for name, values in parse_qs(query).items()}
        expires = given.get("Expires", "")
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 15):
            return _UNSIGNED
        if given.get("OSSAccessKeyId") != self.access_key_id:
            return Denial(
                "InvalidAccessKeyId", "The OSS Access Key Id you provided does not exist."
            )
        if now.timestamp() >= int(expires):
            return EXPIRED
        expected = self._signature(verb, content_type, expires, path)
        signature = given.get("Signature", "").encode("utf-8", "replace")
        return None if compare_digest(expected.encode(), signature) else MISMATCH

    def _signature(self, verb: str, content_type: str, expires: str, path: str) -> str:
        # The empty line is the Content-MD5, which links do not sign.
        signed = f"{verb}\n\n{content_type}\n{expires}\n/{_BUCKET}{path}"
        return hmac_sha1_base64(self.key, signed.encode())
