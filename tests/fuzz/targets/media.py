"""What comes from a link: the walk that says whether it is a whole picture or video, and which."""

from __future__ import annotations

import io
import warnings

from PIL import Image

from archiver.keys import blob_key
from archiver.media import Flaw, Media, Walker, png
from archiver.media.verdict import MAX_PIXELS, MAX_SIDE_PIXELS
from tests.archiver.media_bodies import box, png_chunk
from tests.fuzz.target import Sabotage, Target

KINDS = {
    "png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
    "avif": "image/avif", "mp4": "video/mp4", "webm": "video/webm",
}  # fmt: skip


def law(data: bytes) -> None:
    """However it is cut and wherever its buffers go, one verdict; and Pillow sees the same size."""
    verdict = judged(data, len(data) or 1)
    for size in (1, 7, 61):
        assert judged(data, size) == verdict
    if isinstance(verdict, Flaw):
        assert verdict.reason.isascii()
        assert len(verdict.reason) < 120
        return
    assert KINDS[verdict.extension] == verdict.media_type
    blob_key(bytes(32), verdict.extension)
    assert (verdict.width is None) == (verdict.height is None)
    if verdict.width is not None and verdict.height is not None:
        assert 0 < verdict.width <= MAX_SIDE_PIXELS
        assert 0 < verdict.height <= MAX_SIDE_PIXELS
        assert verdict.width * verdict.height <= MAX_PIXELS
        seen = seen_by_pillow(data)
        assert seen in (None, (verdict.width, verdict.height)), seen


def judged(data: bytes, size: int) -> Media | Flaw:
    """The verdict on bytes that come so many at a time, in one buffer that is used again."""
    walker, buffer = Walker(), bytearray(size)
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        buffer[: len(piece)] = piece
        with memoryview(buffer) as view:
            walker.feed(view[: len(piece)])
        buffer[:] = b"\xaa" * size
    return walker.finish()


def seen_by_pillow(data: bytes) -> tuple[int, int] | None:
    """By its headers alone; None if it does not know it."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as picture:
            return picture.size
    except (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError):
        return None


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="looking at a PNG's size", owner=png, name="check_dimensions", instead=lambda *_: None
    ),
    words=(
        *(
            png_chunk(b"IDAT"),
            png_chunk(b"IEND"),
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff",
            b"\xff\xd9",
        ),
        *(b"RIFF", b"WEBPVP8X", b"WEBPVP8L", b"WEBPVP8 ", b"GIF89a", b"\x1a\x45\xdf\xa3"),
        *(box(b"moov"), box(b"mdat"), b"ftypavif", b"ftypisom", b"ispe", b"\x18\x53\x80\x67"),
    ),
)
