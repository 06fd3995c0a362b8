"""What the archive and the children that decode pictures say to each other: JSON, a line each.

A child says `Ready`; from then on there is one `Order` at a time, and to each exactly one `Made` or
`Refused`.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A line."""


class Order(Message, frozen=True):
    """Make the preview of the picture in that file."""

    path: str


class Ready(Message, frozen=True):
    """The child can decode."""


class Made(Message, frozen=True):
    """A thumbnail, its pixels, and the picture's perceptual hash (see `archiver.previews`)."""

    webp: bytes
    width: int
    height: int
    phash: int | None


class Refused(Message, frozen=True):
    """Nobody can make a preview of that picture; the reason is a sentence about it."""

    reason: str


FromChild: TypeAlias = Ready | Made | Refused

order: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
from_child: msgspec.json.Decoder[FromChild] = msgspec.json.Decoder(FromChild)


def line(message: Order | FromChild) -> bytes:
    """The message as it goes over a pipe."""
    return msgspec.json.encode(message) + b"\n"
