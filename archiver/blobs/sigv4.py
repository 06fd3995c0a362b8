"""AWS's Signature Version 4 for S3, of a request whose body has been digested already. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html. botocore's own
signer, against which this one is tested, costs more processor than all the rest of a small put.
"""

import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Protocol
from urllib.parse import urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Key(Protocol):
    """Credentials as botocore holds them."""

    @property
    def access_key(self) -> str | None: ...
    @property
    def secret_key(self) -> str | None: ...
    @property
    def token(self) -> str | None: ...


def signed(
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    body_sha256: bytes,
    key: Key,
    region: str,
    now: datetime,
) -> dict[str, str]:
    """The headers to send: the given ones, every one of them signed, and what a signature adds.

    `url` is escaped as it will be sent, in the signature's own way: all but A-Z a-z 0-9 - . _ ~.
    """
    parts = urlsplit(url)
    moment = f"{now:%Y%m%dT%H%M%SZ}"
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    sent = {**headers, "X-Amz-Content-SHA256": body_sha256.hex(), "X-Amz-Date": moment}
    if key.token:
        sent["X-Amz-Security-Token"] = key.token
    default = parts.port is None or parts.port == _DEFAULT_PORTS.get(parts.scheme)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    to_sign = {name.lower(): " ".join(value.split()) for name, value in sent.items()}
    to_sign["host"] = host if default else f"{host}:{parts.port}"
    names = sorted(to_sign)
    canonical = "\n".join(
        (
            method,
            parts.path or "/",
            _canonical_query(parts.query),
            *(f"{name}:{to_sign[name]}" for name in names),
            "",
            ";".join(names),
            body_sha256.hex(),
        )
    )
    text = f"{_ALGORITHM}\n{moment}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(
        _signing_key(key.secret_key or "", scope), text.encode(), "sha256"
    ).hex()
    sent["Authorization"] = (
        f"{_ALGORITHM} Credential={key.access_key}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return sent


def _canonical_query(query: str) -> str:
    pairs = (item.partition("=") for item in query.split("&") if item)
    return "&".join(f"{name}={value}" for name, _, value in sorted(pairs))


@lru_cache(maxsize=8)
def _signing_key(secret: str, scope: str) -> bytes:
    """The key for a day, region and service, the parts of `scope`."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
