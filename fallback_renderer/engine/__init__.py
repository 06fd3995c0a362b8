"""The engine: draws one request at a time with diffusers, in a process of its own.

The only room that draws. It keeps loaded checkpoints between pictures, puts on them what a
request wants, draws, and takes it off again; the same request is the same bytes.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

# Before they are imported: nothing is reported to anybody, and no thread pool is forked.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from fallback_renderer import settings
from fallback_renderer.engine import devices
from fallback_renderer.engine.drawing import Picture, Step, draw
from fallback_renderer.engine.errors import (
    CheckpointError,
    EngineError,
    OutOfMemoryError,
    PictureError,
)
from fallback_renderer.engine.memory import is_out_of_memory
from fallback_renderer.engine.models import Models
from fallback_renderer.engine.quiet import hushed
from fallback_renderer.request import RenderRequest

__all__ = [
    "CheckpointError",
    "Engine",
    "EngineError",
    "OutOfMemoryError",
    "Picture",
    "PictureError",
    "Step",
]

_DRAWS = ("holdfast", "diffusers", "torch", "transformers")


def _nobody(_done: int, _total: int) -> None:
    pass


class Engine:
    """Draws on one device; for one thread at a time, and one engine in a process.

    `device` and `software` are for people.
    """

    def __init__(self, settings: settings.Engine) -> None:
        device = devices.choose(settings)
        self.device = device.description
        self.software = ", ".join(f"{name} {version(name)}" for name in _DRAWS)
        self._models = Models(device, compiled=settings.compile)

    def draw(
        self,
        request: RenderRequest,
        *,
        init_image: Path | None = None,
        mask_image: Path | None = None,
        step: Step = _nobody,
    ) -> Picture:
        """Draws the request, its pictures being in those files.

        Once the checkpoint is loaded, and after each step of denoising, `step(done, total)` is
        called; what it raises ends the drawing
        at once and leaves the engine as it was. Raises EngineError; all else is a bug.
        """
        with hushed():
            try:
                model = self._models.get(request.checkpoint)
                step(0, request.steps)
                return draw(model, request, init_image=init_image, mask_image=mask_image, step=step)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
        # Only here, for as long as the error is handled its frames hold on to the memory.
        self._models.clear()
        raise OutOfMemoryError(
            f"memory ran out at {request.canvas[0]}x{request.canvas[1]} with "
            f"{request.checkpoint.source}: every checkpoint was let go, so it may do now"
        )
