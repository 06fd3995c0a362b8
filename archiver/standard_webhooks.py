"""Signing what we send as https://www.standardwebhooks.com says, so that any library verifies it.

Signed are the message's id, the moment of this attempt and the very bytes of the body. While a
secret is being exchanged each of several signs, and whoever knows one of them is content.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable
from datetime import datetime

_PREFIX = "whsec_"
# "Between 24 bytes (192 bits) and 64 bytes (512 bits)", says the specification.
_SHORTEST_KEY_BYTES = 24
_LONGEST_KEY_BYTES = 64


def key_of(secret: str) -> bytes:
    """The key in a secret `whsec_…`; raises ValueError, whose text does not hold it."""
    try:
        key = b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not whsec_ and base64") from None
    if not (secret.startswith(_PREFIX) and _SHORTEST_KEY_BYTES <= len(key) <= _LONGEST_KEY_BYTES):
        raise ValueError(
            f"it is not whsec_ and {_SHORTEST_KEY_BYTES} to {_LONGEST_KEY_BYTES} bytes in base64"
        )
    return key


def signed_headers(
    keys: Iterable[bytes], *, message_id: str, at: datetime, body: bytes
) -> dict[str, str]:
    """The three headers of a message; `at` is the moment of this attempt."""
    seconds = str(int(at.timestamp()))
    signed = b".".join((message_id.encode(), seconds.encode(), body))
    digests = (hmac.digest(key, signed, hashlib.sha256) for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{b64encode(it).decode()}" for it in digests),
    }
