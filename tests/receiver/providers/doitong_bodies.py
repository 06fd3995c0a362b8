"""What Doitong would say or be asked, as bytes, and what is made of them."""

from __future__ import annotations

import json

from archiver.models import (
    Heard,
    Observation,
)
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
