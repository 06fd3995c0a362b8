"""Pictures to look at: scenes of rectangles and ellipses, each different, each always the same."""

from __future__ import annotations

import io
import random
from typing import Any

from PIL import Image, ImageDraw, ImageFilter


def scene(seed: int, size: tuple[int, int] = (480, 360)) -> Image.Image:
    """One of them."""
    chosen = random.Random(seed)

    def colour() -> tuple[int, ...]:
        return tuple(chosen.randrange(256) for _ in range(3))

    picture = Image.new("RGB", size, colour())
    draw = ImageDraw.Draw(picture)
    for place in range(12):
        x, y = chosen.randrange(size[0]), chosen.randrange(size[1])
        width, height = chosen.randrange(20, 250), chosen.randrange(20, 250)
        shape = draw.ellipse if place % 2 else draw.rectangle
        shape((x - width, y - height, x + width, y + height), fill=colour())
    return picture.filter(ImageFilter.GaussianBlur(1))


def encoded(picture: Image.Image, image_format: str = "PNG", **options: Any) -> bytes:
    """As a file."""
    file = io.BytesIO()
    picture.save(file, image_format, **options)
    return file.getvalue()
