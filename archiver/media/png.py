"""PNG (ISO/IEC 15948, W3C PNG third edition): chunks of length, type, data and CRC-32."""

from __future__ import annotations

import zlib

from archiver.media.stream import Steps, Stream
from archiver.media.verdict import FlawError, Media, check_dimensions
from archiver.models import Fault

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def walk_png(stream: Stream) -> Steps[Media]:
    """IHDR first, every checksum right, IDAT somewhere, IEND last; what follows IEND is ignored."""
    yield from stream.skip(len(SIGNATURE))
    header = yield from stream.take(8 + 13)
    if header[:8] != b"\0\0\0\x0dIHDR":
        raise FlawError(Fault.SHORT, "the PNG is damaged: it does not begin with IHDR")
    yield from _check_crc(stream, b"IHDR", zlib.crc32(header[4:]))
    width, height = int.from_bytes(header[8:12]), int.from_bytes(header[12:16])
    check_dimensions(width, height)

    has_pixels = False
    while True:
        prefix = yield from stream.take(8)
        length, chunk_type = int.from_bytes(prefix[:4]), prefix[4:]
        if not chunk_type.isalpha():
            raise FlawError(Fault.SHORT, "the PNG is damaged: a chunk's type is not four letters")
        crc = yield from stream.crc32(length, zlib.crc32(chunk_type))
        yield from _check_crc(stream, chunk_type, crc)
        has_pixels |= chunk_type == b"IDAT"
        if chunk_type == b"IEND":
            break
    if not has_pixels:
        raise FlawError(Fault.SHORT, "the PNG has no IDAT chunk, so no pixels")
    return Media(media_type="image/png", extension="png", width=width, height=height)


def _check_crc(stream: Stream, chunk_type: bytes, crc: int) -> Steps[None]:
    declared = yield from stream.take(4)
    if int.from_bytes(declared) != crc:
        name = chunk_type.decode("ascii")
        raise FlawError(Fault.SHORT, f"the PNG is damaged: chunk {name} fails its CRC-32")
