"""Diffusers' own pipelines as anybody would use them: what the engine is held against."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image

from fallback_renderer.engine.quiet import hushed


@cache
def pipeline(name: str, folder: Path | str, **settings: Any) -> Any:
    """A pipeline of that class, with nothing done to it."""
    with hushed():
        pipe = getattr(diffusers, name).from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, **settings
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe: Any, *, seed: int, **given: Any) -> Image.Image:
    """One picture."""
    with hushed():
        return pipe(**given, generator=torch.Generator().manual_seed(seed)).images[0]


def pixels(png: bytes) -> bytes:
    """What a PNG shows."""
    with Image.open(BytesIO(png)) as image:
        return image.tobytes()
