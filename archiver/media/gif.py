"""GIF87a and GIF89a: blocks made of sub-blocks, up to the trailer."""

from __future__ import annotations

from archiver.media.stream import Steps, Stream
from archiver.media.verdict import FlawError, Media, check_dimensions
from archiver.models import Fault

SIGNATURE = b"GIF8"

_EXTENSION = b"\x21"
_IMAGE = b"\x2c"
_TRAILER = b"\x3b"


def walk_gif(stream: Stream) -> Steps[Media]:
    """Every block up to the trailer, for that byte alone proves nothing; the rest is ignored."""
    screen = yield from stream.take(13)
    width, height = int.from_bytes(screen[6:8], "little"), int.from_bytes(screen[8:10], "little")
    check_dimensions(width, height)
    yield from _skip_colours(stream, screen[10])

    has_pixels = False
    while (block := (yield from stream.take(1))) != _TRAILER:
        if block == _IMAGE:
            descriptor = yield from stream.take(9)
            yield from _skip_colours(stream, descriptor[8])
            has_pixels = True
        elif block != _EXTENSION:
            raise FlawError(Fault.SHORT, "the GIF is damaged: a block of no known kind")
        # An extension's label, or an image's LZW code size, and the sub-blocks.
        yield from stream.skip(1)
        while size := (yield from stream.take(1))[0]:
            yield from stream.skip(size)
    if not has_pixels:
        raise FlawError(Fault.SHORT, "the GIF has no image block, so no pixels")
    return Media(media_type="image/gif", extension="gif", width=width, height=height)


def _skip_colours(stream: Stream, flags: int) -> Steps[None]:
    """Bit 7 says that a colour table follows, bits 0 to 2 its size."""
    if flags & 0x80:
        yield from stream.skip(3 << 1 + (flags & 7))
