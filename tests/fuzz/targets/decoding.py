"""Content-encodings: what they hide comes out whole and within bounds, or not at all."""

from __future__ import annotations

import gzip
import zlib

from archiver.errors import UnreadableError
from receiver import decoding
from receiver.decoding import decodable, decoded
from tests.fuzz.target import Sabotage, Target

MOST_BYTES = 2000
_WRITERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}


def law(data: bytes) -> None:
    """The encodings stand on the first line; the rest is read as encoded, and is so encoded."""
    value, _, body = data.partition(b"\n")
    headers = [(b"Content-Encoding", value)]
    try:
        plain = decoded(headers, body, max_bytes=MOST_BYTES)
    except UnreadableError as error:
        assert 0 < len(str(error)) < 400 + len(value) * 4
    else:
        assert len(plain) <= max(MOST_BYTES, len(body))
    names = [name.strip().lower() for name in value.decode("latin-1").split(",")]
    if all(name in _WRITERS for name in names) and len(names) < 4 and len(body) < MOST_BYTES:
        encoded = body
        for name in names:
            encoded = _WRITERS[name](encoded)
        assert decoded(headers, encoded) == body
    kept = decodable([value.decode("latin-1")])
    assert decodable([kept]) == kept


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="bounding what comes out",
        owner=decoding,
        name="_inflate",
        instead=lambda encoding, body, max_bytes: zlib.decompress(body, 47),
    ),
    words=(
        b"gzip",
        b"deflate",
        b"identity",
        b"x-gzip",
        b", ",
        b"\x1f\x8b\x08\0",
        b"\x78\x9c",
        b";q=0",
    ),
)
