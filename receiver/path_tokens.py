"""An unguessable end of a webhook's path, for a provider that signs nothing: `<nonce>.<mac>`.

Whether we made it is a matter of arithmetic and needs no look-up. Only the nonce is ever kept:
whoever reads an inbox cannot make the rest of it.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping

from receiver.signatures import Headers, Verdict, keyed, rejected

MAX_NONCE_BYTES = 64

_PURPOSE = b"holdfast webhook token"
# 144 bits, so that base64 needs no padding.
_MAC_BYTES = 18
_WELL_FORMED = re.compile(r"([A-Za-z0-9_-]{1,86})\.([A-Za-z0-9_-]{24})").fullmatch


def mint(secret: str, nonce: bytes) -> str:
    """The token to put at the end of a path; each nonce makes another, all are good at once.

    Raises ValueError for a nonce that is empty or longer than MAX_NONCE_BYTES, and ConfigError
    for an empty secret.
    """
    if not 0 < len(nonce) <= MAX_NONCE_BYTES:
        raise ValueError(f"a nonce has 1 to {MAX_NONCE_BYTES} bytes")
    text = urlsafe_b64encode(nonce).rstrip(b"=")
    return (text + b"." + _mac(keyed({"": secret})[""], text)).decode()


class PathTokens:
    """Checks the last part of a path against labelled secrets, any of which may have made it.

    Raises ConfigError for no secret at all or an empty one.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._keyed = keyed(secrets)

    def verify(self, headers: Headers, body: bytes, target: str) -> Verdict:
        """Verifies the token alone: whoever knows it may send any body, which is thus a hint."""
        token = _WELL_FORMED(target.partition("?")[0].rpartition("/")[2])
        if token is None:
            return rejected(
                "the path does not end in a token of the form <nonce>.<mac>", hopeless=True
            )
        nonce, claimed = token[1], token[2].encode("ascii")
        for label, state in self._keyed.items():
            if hmac.compare_digest(_mac(state, nonce.encode("ascii")), claimed):
                return Verdict(verified_by=label, reason="", path_token=nonce, path_secret=claimed)
        return Verdict(
            verified_by=None,
            reason="the path's token was made with none of our secrets",
            path_secret=claimed,
            hopeless=True,  # of the token nothing is kept that could be verified again
        )


def _mac(state: hmac.HMAC, nonce: bytes) -> bytes:
    """Over the nonce as it is written, so that no other spelling of it is as good."""
    signer = state.copy()
    signer.update(_PURPOSE + nonce)
    return urlsafe_b64encode(signer.digest()[:_MAC_BYTES])
