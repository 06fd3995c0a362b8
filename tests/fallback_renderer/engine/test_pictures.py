"""Pictures to begin with: upright, of the size that was asked for, filled up to the canvas."""

from __future__ import annotations

import numpy as np
from PIL import Image

from fallback_renderer.engine import pictures
from tests.fallback_renderer.requests import INIT, MASK


def asked(ask, **said):
    """A request with pictures of its own."""
    return ask(task="inpainting", pictures=(INIT, MASK), **said)


def test_a_picture_is_scaled_to_the_size_and_continued_to_the_canvas(ask, tmp_path) -> None:
    """So that cropping leaves it where it was."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "init.png")
    request = asked(ask, width=70, height=65)

    image = pictures.read(tmp_path / "init.png", "RGB", request)

    pixels = np.asarray(image)
    resized = Image.fromarray(noise).resize((70, 65), Image.Resampling.LANCZOS)
    assert image.size == request.canvas == (72, 72)
    assert np.array_equal(pixels[:65, :70], np.asarray(resized))
    assert np.array_equal(pixels[:, 70:], np.repeat(pixels[:, 69:70], 2, axis=1))
    assert np.array_equal(pixels[65:], np.repeat(pixels[64:65], 7, axis=0))


def test_a_mask_is_grey_and_filled_up_too(ask, tmp_path) -> None:
    """Whatever colours it came in."""
    Image.new("RGB", (64, 64), "white").save(tmp_path / "mask.png")

    image = pictures.read(tmp_path / "mask.png", "L", asked(ask, width=65, height=64))

    assert (image.mode, image.size, image.getextrema()) == ("L", (72, 64), (255, 255))


def test_a_picture_is_turned_upright(ask, tmp_path) -> None:
    """As every viewer shows it, and as whoever sent it meant it."""
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image = Image.new("RGB", (64, 64), "black")
    image.paste("white", (0, 0, 64, 32))
    image.save(tmp_path / "turned.png", exif=exif)

    upright = pictures.read(tmp_path / "turned.png", "RGB", asked(ask))

    assert (upright.getpixel((5, 5)), upright.getpixel((5, 60))) == ((0, 0, 0), (255, 255, 255))


def test_a_transparent_or_indexed_picture_is_read(ask, tmp_path) -> None:
    """Drawing knows three colours and nothing else."""
    for mode in ("RGBA", "LA", "P", "1", "I;16"):
        Image.new(mode, (64, 64)).save(tmp_path / "init.png")

        assert pictures.read(tmp_path / "init.png", "RGB", asked(ask)).mode == "RGB"
