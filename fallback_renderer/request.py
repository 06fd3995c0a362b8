"""What is to be drawn: the value that goes to whoever draws, as JSON if need be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from archiver.redact import redact
from fallback_renderer.checkpoints import Checkpoint
from fallback_renderer.notes import Note
from fallback_renderer.schedulers import SchedulerPlan


class Task(StrEnum):
    """The kinds of drawing that there are pipelines for here."""

    TEXT_TO_IMAGE = "text-to-image"
    IMAGE_TO_IMAGE = "image-to-image"
    INPAINTING = "inpainting"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora:
    """One LoRA by its name in the request, its file, and how strongly it is mixed in."""

    name: str
    path: str
    strength: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """An embedding or a VAE by its name in the request, and where it lies."""

    name: str
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderRequest:
    """One picture to draw; every field means what its namesake in `GenerationParams` means.

    `width` and `height` are those of the picture before `upscale` doubles them. `seed` is this
    picture's own, 0 to 2**64 - 1. `clip_skip` counts as providers do: 1 skips nothing, so diffusers
    is told one less. `prompt` and `negative_prompt` are in the syntax of `prompting`, but plain
    where the checkpoint flows. `init_image` and `mask_image` are blob keys; `strength` is None
    where there is neither.
    """

    checkpoint: Checkpoint
    task: Task
    prompt: str
    negative_prompt: str
    width: int
    height: int
    steps: int
    guidance_scale: float
    seed: int
    scheduler: SchedulerPlan
    clip_skip: int
    loras: tuple[Lora, ...]
    embeddings: tuple[Part, ...]
    vae: Part | None
    tomesd: bool
    panorama: bool
    self_attention: bool
    upscale: bool
    safety_checker: bool
    strength: float | None
    init_image: str | None
    mask_image: str | None
    notes: tuple[Note, ...]

    @property
    def canvas(self) -> tuple[int, int]:
        """Width and height to draw at, and then to crop: what the checkpoint's VAE can divide.

        A panorama is drawn through windows 64 pixels apart; beyond the last, nothing is.
        """
        multiple = 64 if self.panorama else 16 if self.checkpoint.family.flows else 8
        return -(-self.width // multiple) * multiple, -(-self.height // multiple) * multiple


@dataclass(frozen=True, kw_only=True, slots=True)
class NotRenderable:
    """Why a request cannot be drawn here; where the operator could mend that, it says how."""

    reason: str


def refused(reason: str) -> NotRenderable:
    """A refusal whose reason may quote the request."""
    return NotRenderable(reason=redact(reason))
