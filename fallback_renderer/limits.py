"""How far each number of a request may go, and what it is when the request does not say.

A provider's documented limits are kept here too, for the picture to be the one that it would have
drawn; where a document is silent, those of the checkpoint's family hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fallback_renderer.checkpoints import Checkpoint, Family


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """The values from `least` to `most`."""

    least: float
    most: float

    def nearest(self, value: float) -> float:
        """The value itself, or the end of the range that it lies beyond."""
        return max(self.least, min(self.most, value))

    def within(self, other: Range) -> Range:
        """What both allow."""
        return Range(least=max(self.least, other.least), most=min(self.most, other.most))


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one provider's model may be asked for, drawn with one family of checkpoints.

    Sides are pixels, multiples of `side_step`; `words` is how many of a prompt are read.
    """

    side: int
    steps: int
    guidance_scale: float
    sides: Range = Range(least=64, most=2048)
    side_step: int = 1
    step_counts: Range = Range(least=1, most=500)
    guidance_scales: Range = Range(least=0, most=30)
    clip_skips: Range = Range(least=1, most=8)
    words: int | None = None


# The defaults of diffusers' own pipelines, but for their 50 steps.
_FAMILIES = {
    Family.SD15: Limits(side=512, steps=30, guidance_scale=7.5),
    Family.SD21: Limits(side=768, steps=30, guidance_scale=7.5),
    Family.SDXL: Limits(side=1024, steps=30, guidance_scale=5.0),
    Family.SD3: Limits(side=1024, steps=28, guidance_scale=7.0),
    # Guidance is distilled into the weights, on a scale of its own: more only burns the picture.
    Family.FLUX: Limits(
        side=1024, steps=28, guidance_scale=3.5, guidance_scales=Range(least=0, most=5)
    ),
}

# `modelslab-enterprise-text2img`: 1024x1024 at most, 1 to 50 steps, guidance 1 to 20.
_MODELSLAB_SIDES = Range(least=64, most=1024)
_MODELSLAB_STEPS = Range(least=1, most=50)
_MODELSLAB_GUIDANCE = Range(least=1, most=20)

# `doitong-stable-diffusion` and `doitong-flux-pro`: 1024 by default.
_DOITONG_SIDE = 1024

# `dashscope-stable-diffusion`: its two models only; 50 steps and scale 10 by default.
_DASHSCOPE_GUIDANCE = Range(least=1, most=15)
_DASHSCOPE_SIDES = {
    "stable-diffusion-v1.5": Range(least=512, most=512),
    "stable-diffusion-xl": Range(least=512, most=1024),
}
_DASHSCOPE_SIDE_STEP = 128
_DASHSCOPE_WORDS = 75


def limits_of(provider: str, model: str | None, checkpoint: Checkpoint) -> Limits:
    """The limits of a provider's model where this checkpoint draws it."""
    family = _FAMILIES[checkpoint.family]
    own = replace(
        family,
        steps=checkpoint.steps or family.steps,
        guidance_scale=(
            family.guidance_scale
            if checkpoint.guidance_scale is None
            else checkpoint.guidance_scale
        ),
    )
    if provider == "modelslab":
        return replace(
            own,
            sides=_MODELSLAB_SIDES,
            step_counts=_MODELSLAB_STEPS,
            guidance_scales=_MODELSLAB_GUIDANCE.within(own.guidance_scales),
        )
    if provider == "doitong":
        return replace(own, side=_DOITONG_SIDE)
    if provider == "dashscope":
        return _of_dashscope((model or "").strip().lower(), own)
    return own


def _of_dashscope(model: str, own: Limits) -> Limits:
    sides = _DASHSCOPE_SIDES.get(model)
    if sides is None:
        return own
    return replace(
        own,
        side=int(sides.most),
        sides=sides,
        side_step=_DASHSCOPE_SIDE_STEP,
        steps=50,
        guidance_scale=_DASHSCOPE_GUIDANCE.within(own.guidance_scales).nearest(10.0),
        guidance_scales=_DASHSCOPE_GUIDANCE.within(own.guidance_scales),
        words=_DASHSCOPE_WORDS,
    )
