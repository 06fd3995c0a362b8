"""AVIF and MP4: ISO base media files (ISO/IEC 14496-12), boxes laid end to end."""

from __future__ import annotations

import re

from archiver.media.stream import Steps, Stream
from archiver.media.verdict import FlawError, Media, check_dimensions
from archiver.models import Fault

SIGNATURE = b"ftyp"

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_MP4_BRANDS = frozenset(
    {b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"M4V "}
)

# What we read of one box at most; a still picture's `meta` has a few hundred bytes.
_READ_BYTES = 65_536

# ImageSpatialExtentsProperty (ISO/IEC 23008-12, 6.5.3): version and flags, width, height.
_ISPE = re.compile(rb"ispe\0{4}(.{4})(.{4})", re.DOTALL)


def walk_isobmff(stream: Stream) -> Steps[Media]:
    """Boxes that add up to exactly the stream, index and data among them.

    A video's dimensions are not looked for.
    """
    if (yield from _brands(stream)) & _AVIF_BRANDS:
        width, height = yield from _walk_boxes(stream, {b"meta", b"mdat"})
        return Media(media_type="image/avif", extension="avif", width=width, height=height)
    yield from _walk_boxes(stream, {b"moov", b"mdat"})
    return Media(media_type="video/mp4", extension="mp4")


def _brands(stream: Stream) -> Steps[frozenset[bytes]]:
    """The major brand and the compatible ones; between them stands a version."""
    _, size = yield from _box(stream)
    if size is None or size > _READ_BYTES:
        raise FlawError(Fault.NOT_MEDIA, "an ISO media file with an absurd list of brands")
    listed = yield from stream.take(size)
    brands = frozenset(listed[at : at + 4] for at in range(0, size, 4) if at != 4)
    if not brands & (_AVIF_BRANDS | _MP4_BRANDS):
        raise FlawError(Fault.NOT_MEDIA, "an ISO media file, but neither AVIF nor MP4")
    return brands


def _walk_boxes(stream: Stream, missing: set[bytes]) -> Steps[tuple[int, int] | tuple[None, None]]:
    """Read every box to the end and return the dimensions, if a `meta` box tells them."""
    dimensions: tuple[int, int] | tuple[None, None] = (None, None)
    while (yield from stream.peek(1)):
        box_type, size = yield from _box(stream)
        missing.discard(box_type)
        if size is None:
            while (yield from stream.piece()):
                pass
        elif box_type == b"meta" and size <= _READ_BYTES:
            dimensions = _dimensions((yield from stream.take(size)))
        else:
            yield from stream.skip(size)
    if missing:
        names = " and ".join(sorted(box_type.decode() for box_type in missing))
        raise FlawError(Fault.SHORT, f"the ISO media file lacks {names}")
    return dimensions


def _box(stream: Stream) -> Steps[tuple[bytes, int | None]]:
    """A box's type and how many bytes follow its header; None means all the rest."""
    header = yield from stream.take(8)
    size, header_size = int.from_bytes(header[:4]), 8
    if size == 0:
        return header[4:], None
    if size == 1:
        size, header_size = int.from_bytes((yield from stream.take(8))), 16
    if size < header_size:
        raise FlawError(Fault.SHORT, "the ISO media file is damaged: a box shorter than its header")
    return header[4:], size - header_size


def _dimensions(meta: bytes) -> tuple[int, int] | tuple[None, None]:
    """The largest picture's: the others are its tiles, its alpha or its thumbnail."""
    sizes = [(int.from_bytes(w), int.from_bytes(h)) for w, h in _ISPE.findall(meta)]
    if not sizes:
        return None, None
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    check_dimensions(width, height)
    return width, height
