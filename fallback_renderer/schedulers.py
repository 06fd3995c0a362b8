"""The name of a scheduler → the class of diffusers that samples so, and how to configure it.

What samples and what only seems to was found by drawing from a distribution whose best denoiser is
known in closed form, with diffusers 0.42. Two of the names give a picture without any error, and
it is noise; so names are never passed on unread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fallback_renderer.checkpoints import Family
from fallback_renderer.notes import Note, ignored, substituted

# Every scheduler is built from the checkpoint's own configuration and these: latents are not
# pixels, so clipping them to [-1, 1] ruins the picture, and PNDM's first steps by Runge-Kutta fail
# below four steps.
_ALWAYS = {"clip_sample": False, "thresholding": False, "skip_prk_steps": True}

# Whether `use_karras_sigmas` has any effect; the others swallow it without a word.
_HEEDS_KARRAS = {
    "DDPMScheduler": False,
    "DDIMScheduler": False,
    "PNDMScheduler": False,
    "LMSDiscreteScheduler": True,
    "EulerDiscreteScheduler": True,
    "EulerAncestralDiscreteScheduler": False,
    "DPMSolverMultistepScheduler": True,
    "HeunDiscreteScheduler": True,
    "KDPM2DiscreteScheduler": True,
    "DPMSolverSinglestepScheduler": True,
    "KDPM2AncestralDiscreteScheduler": True,
    "UniPCMultistepScheduler": True,
    "DEISMultistepScheduler": True,
}

_FALSE_FRIENDS = {
    "DDIMInverseScheduler": ("DDIMScheduler", "it turns pictures into noise; this is its way back"),
    "IPNDMScheduler": (
        "PNDMScheduler",
        "its own noise levels are not the checkpoint's; this has the same coefficients",
    ),
    "KarrasVeScheduler": (
        "HeunDiscreteScheduler",
        "it wants another kind of model; with Karras sigmas this is its deterministic form",
    ),
    "ScoreSdeVeScheduler": (
        "EulerAncestralDiscreteScheduler",
        "it wants another kind of model; this is the stochastic step that it predicts with",
    ),
}

# Taken where Karras sigmas are asked of no scheduler in particular.
_KARRAS_BY_DEFAULT = "EulerDiscreteScheduler"
_FLOW = "FlowMatchEulerDiscreteScheduler"


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerPlan:
    """What to build from the checkpoint's own configuration; None is the checkpoint's own class."""

    class_name: str | None = None
    overrides: dict[str, bool] = field(default_factory=dict)


def plan_scheduler(
    name: str | None, *, karras_sigmas: bool | None, family: Family
) -> tuple[SchedulerPlan, tuple[Note, ...]]:
    """The scheduler for a name in any spelling, and what of the wish could not be met."""
    asked = name.strip() if name else ""
    if family.flows:
        return _plan_flow(asked, karras_sigmas)
    notes: list[Note] = []
    found = _BY_KEY.get(_key(asked))
    class_name = found
    if found in _FALSE_FRIENDS:
        class_name, why = _FALSE_FRIENDS[found]
        notes.append(substituted("scheduler", f"{found} is drawn with {class_name}: {why}"))
    elif found is None and karras_sigmas:
        class_name = _KARRAS_BY_DEFAULT
        text = f"{asked or 'none named'}: {class_name}, on which Karras sigmas have an effect"
        notes.append(substituted("scheduler", text))
    elif asked and found is None:
        notes.append(substituted("scheduler", f"{asked} is unknown; the checkpoint's own is used"))
    overrides = dict(_ALWAYS)
    if found == "KarrasVeScheduler":
        overrides["use_karras_sigmas"] = True
        if karras_sigmas is False:
            notes.append(ignored("karras_sigmas", f"{found} knows no other sigmas"))
    elif karras_sigmas is not None and _HEEDS_KARRAS.get(class_name or "", True):
        overrides["use_karras_sigmas"] = karras_sigmas
    elif karras_sigmas:
        notes.append(ignored("karras_sigmas", f"they have no effect on {class_name}"))
    return SchedulerPlan(class_name=class_name, overrides=overrides), tuple(notes)


def _plan_flow(asked: str, karras_sigmas: bool | None) -> tuple[SchedulerPlan, tuple[Note, ...]]:
    notes = []
    if asked and _key(asked) != _key(_FLOW):
        notes.append(substituted("scheduler", f"{asked} cannot drive a flow model; {_FLOW} does"))
    if karras_sigmas:
        notes.append(ignored("karras_sigmas", "a flow model has no such noise levels"))
    return SchedulerPlan(), tuple(notes)


def _key(name: str) -> str:
    """Without what spellings differ in: `Euler a` is not known, `euler-ancestral` is."""
    return re.sub(r"scheduler|discrete|multistep|[^a-z0-9]", "", name.lower())


_BY_KEY = {_key(name): name for name in (*_HEEDS_KARRAS, *_FALSE_FRIENDS)}
