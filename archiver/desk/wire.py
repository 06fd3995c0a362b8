"""What a renderer on another host and the archive say to each other, as JSON.

A claim is answered with a Commission as it stands, 204 where nothing waits. Every other request
shows the fence; a lost lease is 409.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from archiver.desk import Verdict
from archiver.models import Rendering

# A PNG of the largest picture that any checkpoint draws is a third of it.
MAX_PICTURE_BYTES = 64 << 20

# What SQLite can hold.
Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, msgspec.Meta(ge=0, le=MAX_PICTURE_BYTES)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /api/v1/jobs/claim`: see Desk.claim."""

    kind: Literal["render"] = "render"
    worker: Name
    fresh: bool = False
    number: Number | None = None


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """`POST …/{id}/heartbeat`; answered with Wanted."""

    fence: Number


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What Desk.keep answers."""

    wanted: bool


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """`POST …/{id}/fail`; answered with 204."""

    fence: Number
    verdict: Verdict
    reason: str


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """`POST …/{id}/upload`: a picture to be stored, by its digest (hex) and size."""

    fence: Number
    sha256: Sha256
    size_bytes: Size


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: PUT the bytes there with these headers, 412 meaning that they are there already.

    204 instead: `PUT …/{id}/content?fence=…`, answered with 204.
    """

    url: str
    headers: dict[str, str]


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """`POST …/{id}/complete`: the picture has come, by either way; answered with 204.

    422: what came is not what was offered, or no whole PNG.
    """

    fence: Number
    sha256: Sha256
    size_bytes: Size
    rendering: Rendering
