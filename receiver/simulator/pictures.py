"""A landscape for every prompt and seed: the same draw the same bytes, different ones others."""

from __future__ import annotations

import math
from hashlib import shake_256
from io import BytesIO
from textwrap import wrap

from PIL import Image, ImageColor, ImageDraw, ImageFont

LONGEST_SIDE = 512
_HILLS = 4
_FINER = 2  # drawn twice as large and reduced, which smooths the edges


def draw(prompt: str, width: int, height: int, seed: int = 0) -> bytes:
    """The prompt's picture in the asked proportions, no side beyond 512 pixels.

    A quarter of all pictures come as PNG and the rest as JPEG, whatever their links are called.
    """
    chance = shake_256(f"{seed}\n{prompt}".encode()).digest(4 + 2 * _HILLS)
    shrink = min(1, LONGEST_SIDE / max(width, height))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    canvas = _sky((size[0] * _FINER, size[1] * _FINER), hue=chance[1] * 360 // 256)
    _sun(canvas, across=chance[2] / 256, up=chance[3] / 256)
    for layer in range(_HILLS):
        bend, phase = chance[4 + 2 * layer : 6 + 2 * layer]
        _hill(canvas, layer, bend=bend / 256, phase=phase / 256, hue=chance[1] * 360 // 256)
    picture = canvas.reduce(_FINER)
    _caption(picture, prompt)
    file = BytesIO()
    if chance[0] % 4 == 0:
        picture.save(file, "PNG")
    else:
        picture.save(file, "JPEG", quality=88)
    return file.getvalue()


def _colour(hue: int, saturation: int, lightness: int) -> tuple[int, ...]:
    return ImageColor.getrgb(f"hsl({hue % 360}, {saturation}%, {lightness}%)")


def _sky(size: tuple[int, int], hue: int) -> Image.Image:
    # One column, then as many of it as the picture is wide: far quicker than blending every pixel.
    column = (1, size[1])
    above = Image.new("RGB", column, _colour(hue, 55, 62))
    below = Image.new("RGB", column, _colour(hue + 50, 80, 86))
    sky = Image.composite(below, above, Image.linear_gradient("L").resize(column))
    return sky.resize(size, Image.Resampling.NEAREST)


def _sun(canvas: Image.Image, *, across: float, up: float) -> None:
    radius = min(canvas.size) * 0.09
    x = canvas.width * (0.15 + 0.7 * across)
    y = canvas.height * (0.15 + 0.25 * up)
    ImageDraw.Draw(canvas).ellipse((x - radius, y - radius, x + radius, y + radius), "#fff6df")


def _hill(canvas: Image.Image, layer: int, *, bend: float, phase: float, hue: int) -> None:
    width, height = canvas.size
    foot = height * (0.5 + 0.13 * layer)
    waves = math.tau * (0.6 + bend)
    ridge = [
        (x, foot + height * 0.07 * math.sin(waves * x / width + math.tau * phase))
        for x in range(0, width + 8, 8)
    ]
    outline = [*ridge, (ridge[-1][0], height), (0, height)]
    ImageDraw.Draw(canvas).polygon(outline, _colour(hue + 25 * layer, 38, 58 - 11 * layer))


def _caption(picture: Image.Image, prompt: str) -> None:
    lines = wrap(prompt[:240], width=max(1, picture.width // 7))[:3]
    font = ImageFont.load_default(size=12)
    place = (8, picture.height - 8 - 16 * len(lines))
    ImageDraw.Draw(picture).multiline_text(place, "\n".join(lines), "#ffffff", font)
