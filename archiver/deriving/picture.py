"""A picture's file → its thumbnail and its perceptual hash, with Pillow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import AvifImagePlugin, Image, ImageOps, UnidentifiedImageError

from archiver.deriving.messages import Made, Refused
from archiver.phash import SIDE, phash

# The formats of `archiver.media`, and none of the many more that Pillow reads.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF")

# Of a thumbnail.
LONGEST_SIDE = 320
_QUALITY = 80

# What is decoded; with an alpha channel that is 400 MB, and as much again while it is made small.
# Of a JPEG only every eighth in each direction is, so there Pillow's own limit is the only one.
MAX_PIXELS = 100_000_000

# Neither black nor white lines are lost on it.
_BACKGROUND = (128, 128, 128, 255)

# Between their colours there is nothing that they could show.
_MODES_OF_FEW_COLOURS = ("1", "P")

_MOST_CHARACTERS = 200

# Of as many as there are processors, their stacks alone would take all the memory that there is.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def make(path: Path) -> Made | Refused:
    """The preview of the picture in that file, its first frame if it has many, the right way up.

    It is refused from its header where it is too large, and whatever goes wrong with it is its own.
    """
    try:
        with path.open("rb") as file:
            small = _small(file)
        return Made(webp=_webp(small), width=small.width, height=small.height, phash=_hash(small))
    except Image.DecompressionBombError:
        return Refused(reason=f"it has more than the {MAX_PIXELS:,} pixels that are decoded")
    except UnidentifiedImageError:
        return Refused(reason=f"it is none of {', '.join(FORMATS)}, or damaged from the beginning")
    except MemoryError:
        return Refused(reason="to decode it takes more memory than a preview is worth")
    except Exception as error:
        return Refused(reason=f"it cannot be decoded: {error}"[:_MOST_CHARACTERS])


def _small(file: BinaryIO) -> Image.Image:
    """The picture in RGB or RGBA, with no side too long; raises what Pillow does of its kind."""
    image: Image.Image = Image.open(file, formats=FORMATS)
    # A JPEG can be decoded at an eighth of its size, for hardly more than reading it costs.
    image.draft(None, (2 * LONGEST_SIDE, 2 * LONGEST_SIDE))
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    image.load()
    if image.mode.startswith("I;16"):
        image = _of_8_bits(image)
    if image.mode in _MODES_OF_FEW_COLOURS or "transparency" in image.info:
        image = _plain(image)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return _plain(ImageOps.exif_transpose(image))


def _of_8_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 bits, of which Pillow would cut off the brighter ones."""
    grey = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    grey.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return grey


def _plain(image: Image.Image) -> Image.Image:
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _webp(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=_QUALITY)
    return file.getvalue()


def _hash(image: Image.Image) -> int | None:
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, _BACKGROUND), image)
    grey = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return phash(np.asarray(grey))
