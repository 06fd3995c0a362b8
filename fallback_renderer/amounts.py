"""The numbers of a request: each as it was asked, or within a limit and with a note."""

from __future__ import annotations

from fallback_renderer.asked import Plan, Reading, within
from fallback_renderer.notes import clamped, ignored, missing, substituted

MAX_SAMPLES = 64

_SEEDS = 2**64
# Words of Doitong's document and of its neighbours → share of the usual steps.
_QUALITIES = {
    **dict.fromkeys(("draft", "fast", "low"), 2 / 3),
    **dict.fromkeys(("auto", "medium", "normal", "standard"), 1.0),
    **dict.fromkeys(("best", "hd", "high", "ultra"), 4 / 3),
}


def read_size(plan: Plan) -> Reading:
    drawn, notes = {}, []
    for name, said in (("width", plan.params.width), ("height", plan.params.height)):
        wanted = plan.limits.side if said is None else said
        step = plan.limits.side_step
        side = int(plan.limits.sides.nearest((wanted + step // 2) // step * step))
        if said is not None and side != said:
            notes.append(clamped(name, f"{said} is drawn as {side}"))
        drawn[name] = side
    return drawn, notes


def read_samples(plan: Plan) -> Reading:
    said = plan.params.samples
    if said is None or 1 <= said <= MAX_SAMPLES:
        return {}, []  # each is a slot of its own, and this is one of them
    return {}, [clamped("samples", f"{said}: the archive keeps from 1 to {MAX_SAMPLES}")]


def read_steps(plan: Plan) -> Reading:
    said, quality, limits = plan.params.steps, plan.params.quality, plan.limits
    usual, notes = limits.steps, []
    if quality is not None:
        share = _QUALITIES.get(quality.strip().lower())
        if said is not None:
            notes.append(ignored("quality", f"{quality}: the steps are given"))
        elif share is None:
            notes.append(ignored("quality", f"{quality} is unknown"))
        else:
            usual = round(usual * share)
            notes.append(substituted("quality", f"{quality} is drawn in {usual} steps"))
    steps, remarks = within("steps", said, limits.step_counts, usual)
    return {"steps": int(steps)}, notes + remarks


def read_guidance(plan: Plan) -> Reading:
    limits = plan.limits
    scale, notes = within(
        "guidance_scale",
        plan.params.guidance_scale,
        limits.guidance_scales,
        limits.guidance_scale,
    )
    return {"guidance_scale": scale}, notes


def read_seed(plan: Plan) -> Reading:
    said, index = plan.params.seed, plan.asked.index
    if said is None or said < 0:
        why = "nobody has heard it" if said is None else f"{said} stands for any"
        note = missing("seed", f"{why}: the picture is like the provider's, not the same")
        return {"seed": plan.random_seed % _SEEDS}, [note]
    seed, notes = (said + index) % _SEEDS, []
    if seed != said + index:
        notes.append(clamped("seed", f"{said} is drawn as {seed}, which has 64 bits"))
    elif index and plan.asked.provider == "modelslab":
        text = f"{seed}, for only the first picture of several is known to have {said}"
        notes.append(substituted("seed", text))
    return {"seed": seed}, notes


def read_clip_skip(plan: Plan) -> Reading:
    skip, notes = within("clip_skip", plan.params.clip_skip, plan.limits.clip_skips, 1)
    if skip > 1 and plan.checkpoint.family.flows:
        return {"clip_skip": 1}, [ignored("clip_skip", "this checkpoint does not draw by CLIP")]
    return {"clip_skip": int(skip)}, notes
