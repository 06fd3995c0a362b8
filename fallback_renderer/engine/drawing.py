"""One request → one picture, on a checkpoint that is left as it was whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from fallback_renderer.checkpoints import Family
from fallback_renderer.engine import pictures, png
from fallback_renderer.engine.adapters import put_on
from fallback_renderer.engine.embeddings import read_embeddings
from fallback_renderer.engine.encoding import encode
from fallback_renderer.engine.errors import CheckpointError
from fallback_renderer.engine.loading import Model
from fallback_renderer.engine.pipelines import pipeline_for
from fallback_renderer.engine.schedulers import build
from fallback_renderer.notes import Note, ignored, unavailable
from fallback_renderer.request import RenderRequest, Task

Step = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """What was drawn, after cropping and doubling; `flagged` by the safety checker if it ran.

    `notes` are those on what could not be known before the checkpoint was at hand.
    """

    png: bytes
    width: int
    height: int
    flagged: bool
    notes: tuple[Note, ...]


def draw(
    model: Model,
    request: RenderRequest,
    *,
    init_image: Path | None,
    mask_image: Path | None,
    step: Step,
) -> Picture:
    """Draws; what `step` raises ends it at once. Raises PictureError and CheckpointError."""
    given = _begin(request, init_image, mask_image)
    with ExitStack() as stack:
        stack.callback(model.pipe.maybe_free_model_hooks)
        stack.callback(setattr, model.pipe, "scheduler", model.scheduler)
        model.pipe.scheduler, notes = build(request.scheduler, model.scheduler)
        notes += put_on(model, request, stack)
        vectors, remarks = read_embeddings(model.pipe, request)
        prompts, cuts = encode(model.pipe, request, vectors)
        notes += [*remarks, *cuts, *_unheard(model.pipe, request)]
        pipe = pipeline_for(request, model.pipe, stack)
        image = pipe(
            **given,
            **prompts,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            callback_on_step_end=_reporting(step),
        ).images[0]
        flagged, remarks = _look(model, request, image)
    image = pictures.finish(image, request)
    return Picture(
        png=png.encode(image),
        width=image.width,
        height=image.height,
        flagged=flagged,
        notes=(*notes, *remarks),
    )


def _begin(
    request: RenderRequest, init_image: Path | None, mask_image: Path | None
) -> dict[str, Any]:
    """What the pipeline is given to begin with: a size, or pictures of that size."""
    width, height = request.canvas
    given: dict[str, Any] = {}
    if request.task is not Task.TEXT_TO_IMAGE:
        given |= {
            "image": pictures.read(init_image, "RGB", request),
            "strength": request.strength,
        }
    if request.task is Task.INPAINTING:
        given["mask_image"] = pictures.read(mask_image, "L", request)
    if request.task is not Task.IMAGE_TO_IMAGE or request.checkpoint.family.flows:
        given |= {"width": width, "height": height}  # elsewhere the picture's own size counts
    return given


def _unheard(pipe: Any, request: RenderRequest) -> list[Note]:
    """A checkpoint like FLUX.1-schnell's is told of no guidance."""
    if request.checkpoint.family is not Family.FLUX or not request.guidance_scale:
        return []
    if pipe.transformer.config.guidance_embeds:
        return []
    return [ignored("guidance_scale", "it is distilled into this checkpoint")]


def _reporting(step: Step) -> Callable[..., dict[str, Any]]:
    def report(pipe: Any, index: int, _timestep: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        step(index + 1, pipe.num_timesteps)
        return {}

    return report


def _look(model: Model, request: RenderRequest, image: Image.Image) -> tuple[bool, list[Note]]:
    """Whether the picture is flagged; raises CheckpointError if there is nothing on it."""
    if image.getbbox() is None:
        raise CheckpointError(
            f"{request.checkpoint.source} drew nothing but black, as happens when its numbers "
            'overflow: give its table dtype = "float32"'
        )
    if not request.safety_checker:
        return False, []
    if model.checker is None:
        return False, [unavailable("safety_checker", "this checkpoint comes without one")]
    with torch.no_grad():
        return model.checker.flags(image), []
