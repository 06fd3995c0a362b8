"""Pictures before and after: what a drawing begins with, and how it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fallback_renderer.engine.errors import PictureError
from fallback_renderer.request import RenderRequest


def read(path: Path | None, mode: str, request: RenderRequest) -> Image.Image:
    """The request's own picture at the size that is asked for, filled up to the canvas.

    Where the canvas is larger, it is filled with the outermost pixels, for they are cropped off.
    Raises PictureError.
    """
    if path is None:
        raise PictureError(f"{request.task} begins with a picture, and there is none")
    try:
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file).convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PictureError(f"its picture cannot be read: {error}") from error
    width, height = request.width, request.height
    resized = upright.resize((width, height), Image.Resampling.LANCZOS)
    right, below = request.canvas[0] - width, request.canvas[1] - height
    sides = ((0, below), (0, right), *((0, 0),) * (len(resized.getbands()) > 1))
    return Image.fromarray(np.pad(np.asarray(resized), sides, mode="edge"))


def finish(image: Image.Image, request: RenderRequest) -> Image.Image:
    """The picture without what the canvas has more, and doubled if that was asked for."""
    image = image.crop((0, 0, request.width, request.height))
    if not request.upscale:
        return image
    return image.resize((2 * image.width, 2 * image.height), Image.Resampling.LANCZOS)
