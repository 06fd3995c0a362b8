"""Which of diffusers' pipelines draws a request, over the parts that are loaded already."""

from __future__ import annotations

import inspect
from contextlib import ExitStack
from typing import Any

import diffusers

from fallback_renderer.checkpoints import Family
from fallback_renderer.request import RenderRequest, Task

_STEMS = {
    Family.SD15: "StableDiffusion",
    Family.SD21: "StableDiffusion",
    Family.SDXL: "StableDiffusionXL",
    Family.FLUX: "Flux",
    Family.SD3: "StableDiffusion3",
}
_KINDS = {
    Task.TEXT_TO_IMAGE: "Pipeline",
    Task.IMAGE_TO_IMAGE: "Img2ImgPipeline",
    Task.INPAINTING: "InpaintPipeline",
}


def class_name(
    family: Family, task: Task, *, panorama: bool = False, self_attention: bool = False
) -> str:
    """The pipeline's name in diffusers."""
    special = "Panorama" if panorama else "PAG" if self_attention else ""
    return f"{_STEMS[family]}{special}{_KINDS[task]}"


def pipeline_for(request: RenderRequest, pipe: Any, stack: ExitStack) -> Any:
    """The pipeline that draws the request: `pipe` itself, or another over the same parts.

    `from_pipe` would do, but makes single-precision numbers of the shared parts as it goes.
    """
    name = class_name(
        request.checkpoint.family,
        request.task,
        panorama=request.panorama,
        self_attention=request.self_attention,
    )
    if type(pipe).__name__ == name:
        return pipe
    if request.self_attention:
        # It puts them back only if it comes to its end.
        stack.callback(pipe.unet.set_attn_processor, pipe.unet.attn_processors)
    kind = getattr(diffusers, name)
    known = {**pipe.config, **pipe.components, "requires_safety_checker": False}
    taken = inspect.signature(kind.__init__).parameters.keys() & known.keys()
    other = kind(**{part: known[part] for part in taken})
    other.set_progress_bar_config(disable=True)
    return other
