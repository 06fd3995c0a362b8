"""One request to a provider and its answer, as the gateway overhears them and a poll makes them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from archiver.errors import UnreadableError


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request to a provider as it goes over the wire, keys and all: it is never kept.

    `path` is the provider's own, with its query, as it is written there.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first header of that name, in any case; empty if there is none."""
        wanted = name.lower()
        return next((value for found, value in self.headers if found.lower() == wanted), "")


class Exchange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was said, less API keys; `path` is the provider's own, without its query.

    `account` is a keyed fingerprint of the caller's key, never the key.
    """

    method: str
    path: str
    request_type: str = ""
    request: bytes = b""
    status: int
    answer: bytes
    account: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Exchange).decode


def encode(exchange: Exchange) -> bytes:
    """An exchange as the body of a delivery."""
    return _encode(exchange)


def decode(body: bytes) -> Exchange:
    """An exchange from the body of a delivery; raises UnreadableError."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableError(f"the delivery holds no exchange: {error}") from error
