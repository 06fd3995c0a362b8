"""What Doitong would say or be asked, as bytes, and what is made of them."""

from __future__ import annotations

import json

from archiver.models import Heard, Observation
from receiver.exchange import Exchange, encode
from receiver.providers.doitong import DOITONG

URL = "https://cdn.doitong.com/outputs/abc123xyz.jpg"
PRESIGNED = "https://cdn.doitong.com/a.png?Expires=1795348800&Signature=secret"


def pushed(body: bytes) -> Observation:
    """What a webhook with this body says."""
    (observation,) = DOITONG.parse(Heard.PUSHED, "", body)
    return observation


def webhook(**document: object) -> Observation:
    """What a webhook about generation `abc123xyz` says."""
    return pushed(json.dumps({"id": "abc123xyz", **document}).encode())


def remembered(document: object) -> Observation:
    """What a request says that became generation `abc123xyz`."""
    body = json.dumps(document).encode()
    (observation,) = DOITONG.parse(Heard.REMEMBERED, "abc123xyz", body)
    return observation


def as_bytes(document: object) -> bytes:
    """A document as JSON; bytes are taken as they are."""
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def exchanged(
    request: object,
    answer: object,
    *,
    method: str = "POST",
    path: str = "/graphql",
    status: int = 200,
    heard: Heard = Heard.OVERHEARD,
) -> tuple[Observation, ...]:
    """What a request and its answer say."""
    exchange = Exchange(
        method=method,
        path=path,
        request_type="application/json",
        request=as_bytes(request),
        status=status,
        answer=as_bytes(answer),
    )
    return DOITONG.parse(heard, "", encode(exchange))
