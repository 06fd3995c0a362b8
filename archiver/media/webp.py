"""WebP (RFC 9649): a RIFF file whose first chunk tells the dimensions."""

from __future__ import annotations

from archiver.media.stream import Steps, Stream
from archiver.media.verdict import FlawError, Media, check_dimensions
from archiver.models import Fault

SIGNATURE = b"RIFF"

# The RIFF header counts all but itself and its own length, the first 8 bytes.
_HEAD_BYTES = 30


def walk_webp(stream: Stream) -> Steps[Media]:
    """The dimensions, then exactly as many bytes as RIFF declares."""
    head = yield from stream.peek(_HEAD_BYTES)
    if len(head) >= 12 and head[8:12] != b"WEBP":
        raise FlawError(Fault.NOT_MEDIA, "a RIFF file, but no WebP")
    yield from stream.take(_HEAD_BYTES)
    width, height = _dimensions(head[12:16], head[20:])
    check_dimensions(width, height)
    left = int.from_bytes(head[4:8], "little") + 8 - _HEAD_BYTES
    if left < 0:
        raise FlawError(Fault.SHORT, "the WebP is damaged: RIFF declares no room for a picture")
    yield from stream.skip(left)
    if (yield from stream.peek(1)):
        raise FlawError(Fault.SHORT, "the WebP has more bytes than RIFF declares")
    return Media(media_type="image/webp", extension="webp", width=width, height=height)


def _dimensions(chunk_type: bytes, data: bytes) -> tuple[int, int]:
    """From the first ten bytes of the first chunk's data (RFC 9649, 2.5 to 2.7)."""
    if chunk_type == b"VP8X":
        return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    if chunk_type == b"VP8L" and data[0] == 0x2F:
        bits = int.from_bytes(data[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk_type == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        width, height = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
        return width & 0x3FFF, height & 0x3FFF
    raise FlawError(Fault.SHORT, "the WebP is damaged: its first chunk is no picture's")
