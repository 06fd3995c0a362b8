"""Pixels → PNG."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

# Of the usual 6 it takes a third of the time, for one percent more bytes.
_COMPRESSION = 4


def encode(image: Image.Image) -> bytes:
    """The picture as a PNG that says nothing but its pixels."""
    png = BytesIO()
    image.save(png, "PNG", compress_level=_COMPRESSION)
    return png.getvalue()
