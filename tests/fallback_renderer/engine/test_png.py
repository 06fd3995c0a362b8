"""Pixels as a PNG."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from fallback_renderer.engine import png


def test_a_png_is_its_pixels_and_nothing_else() -> None:
    """Every pixel, and no chunk but those it takes: what it comes from is stamped later."""
    image = Image.linear_gradient("L").convert("RGB")

    data = png.encode(image)

    with Image.open(BytesIO(data)) as read:
        assert (read.format, read.info, read.tobytes()) == ("PNG", {}, image.tobytes())
    assert data == png.encode(image)
