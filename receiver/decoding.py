"""Undoing a content-encoding, capped: the wire's bytes are what was signed, not what was meant."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from archiver.errors import UnreadableError

# A webhook of 1 MiB that inflates beyond this is a bomb, not a message.
MAX_DECODED_BYTES = 8 << 20

# zlib's own numbers: 16 + 15 reads gzip, 32 + 15 would also guess.
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def decodable(accepted: Iterable[str]) -> str:
    """An Accept-Encoding that asks for no more than we undo; empty if there was none."""
    offered = [offer.strip() for value in accepted for offer in value.split(",")]
    names = {*_WINDOWS, "identity"}
    kept = [offer for offer in offered if offer.partition(";")[0].strip().lower() in names]
    return ", ".join(kept) or ("identity" if offered else "")


def decoded(
    headers: Iterable[tuple[bytes, bytes]], body: bytes, *, max_bytes: int = MAX_DECODED_BYTES
) -> bytes:
    """The body as its sender meant it; raises UnreadableError for any encoding we cannot undo."""
    named = [value for name, value in headers if name.lower() == b"content-encoding"]
    encodings = [
        part.strip().lower()
        for value in named
        for part in value.decode("latin-1").split(",")
        if part.strip()
    ]
    for encoding in reversed(encodings):
        if encoding != "identity":
            body = _inflate(encoding, body, max_bytes)
    return body


def _inflate(encoding: str, body: bytes, max_bytes: int) -> bytes:
    window = _WINDOWS.get(encoding)
    if window is None:
        raise UnreadableError(f"the content-encoding {encoding!r} is not one we undo")
    inflater = zlib.decompressobj(window)
    try:
        plain = inflater.decompress(body, max_bytes)
    except zlib.error as error:
        raise UnreadableError(f"the body is not {encoding}: {error}") from error
    if inflater.unconsumed_tail:
        raise UnreadableError(f"the body inflates beyond {max_bytes} bytes")
    if inflater.unused_data:
        raise UnreadableError(f"something follows the {encoding} body")
    if not inflater.eof:
        raise UnreadableError(f"the {encoding} body is cut short")
    return plain
