"""Which pipeline draws a request, and the switches of it."""

from __future__ import annotations

import math

from fallback_renderer.amounts import read_size, read_steps
from fallback_renderer.asked import Plan, Reading, within
from fallback_renderer.checkpoints import Family
from fallback_renderer.limits import Range
from fallback_renderer.notes import Note, ignored, missing, substituted
from fallback_renderer.request import Task
from fallback_renderer.schedulers import plan_scheduler

# The window that a panorama is drawn through, in pixels.
_PANORAMA_WINDOW = 512
_STRENGTHS = {Task.IMAGE_TO_IMAGE: 0.8, Task.INPAINTING: 1.0}


def read_task(plan: Plan) -> Reading:
    work, said = plan.work, plan.params.strength
    images = {"task": work.task, "init_image": work.init_image, "mask_image": work.mask_image}
    usual = _STRENGTHS.get(work.task)
    if usual is None:
        notes = [] if said is None else [ignored("strength", "there is no picture to begin with")]
        return {**images, "strength": None}, notes
    steps = read_steps(plan)[0]["steps"]
    # Diffusers draws int(steps * strength) of the steps, and fails if that is none.
    range_ = Range(least=math.ceil(1e6 / steps) / 1e6, most=1.0)
    usual = range_.nearest(usual)
    strength, notes = within("strength", said, range_, usual)
    if said is None:
        notes.append(missing("strength", f"nobody has heard it: {usual:g} is taken"))
    return {**images, "strength": strength}, notes


def read_scheduler(plan: Plan) -> Reading:
    params = plan.params
    scheduler, notes = plan_scheduler(
        params.scheduler, karras_sigmas=params.karras_sigmas, family=plan.checkpoint.family
    )
    return {"scheduler": scheduler}, list(notes)


def read_pipeline(plan: Plan) -> Reading:
    """Panorama and self-attention guidance have pipelines of their own, so only one at a time."""
    params, family = plan.params, plan.checkpoint.family
    panorama, attention = bool(params.panorama), bool(params.self_attention)
    notes: list[Note] = []
    from_text = plan.work.task is Task.TEXT_TO_IMAGE
    if panorama and not (from_text and family in (Family.SD15, Family.SD21)):
        panorama = False
        notes.append(ignored("panorama", f"there is no pipeline for {plan.work.task} by {family}"))
    elif panorama and max(read_size(plan)[0].values()) <= _PANORAMA_WINDOW:
        panorama = False
        notes.append(ignored("panorama", f"up to {_PANORAMA_WINDOW} pixels it is a plain drawing"))
    if attention and (panorama or family.flows or not from_text):
        attention = False
        why = "a panorama" if panorama else f"{plan.work.task} by {family}"
        notes.append(ignored("self_attention", f"there is no pipeline for {why} with it"))
    elif attention:
        notes.append(substituted("self_attention", "perturbed-attention guidance"))
    return {"panorama": panorama, "self_attention": attention}, notes


def read_switches(plan: Plan) -> Reading:
    params, notes = plan.params, []
    tomesd = bool(params.tomesd)
    if tomesd and plan.checkpoint.family.flows:
        tomesd = False
        notes.append(ignored("tomesd", "this checkpoint has no UNet to merge tokens in"))
    if params.upscale:
        notes.append(substituted("upscale", "Lanczos resampling to twice the size"))
    if params.enhance_prompt:
        notes.append(ignored("enhance_prompt", "the provider's own rewriting is not known"))
    if params.multi_lingual:
        notes.append(ignored("multi_lingual", "nothing here translates the prompt"))
    checks = params.safety_checker is not False
    upscale = bool(params.upscale)
    return {"tomesd": tomesd, "upscale": upscale, "safety_checker": checks}, notes
