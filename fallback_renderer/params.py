"""What was asked of a provider → what is to be drawn here, with a note for each difference.

Every field of `GenerationParams` belongs to one rule of `RULES`, which brings it into the request
as it is or says what became of it. A field that no rule knows is noted as ignored by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from archiver.models import Generation, GenerationParams, Slot
from fallback_renderer import adapters, amounts, pipelines, prompting
from fallback_renderer.asked import Asked, Plan, Reading
from fallback_renderer.checkpoints import Checkpoints, asked_names
from fallback_renderer.limits import limits_of
from fallback_renderer.notes import Note, clamped, ignored, missing, substituted
from fallback_renderer.pictures import pictures_of, read_work
from fallback_renderer.request import NotRenderable, RenderRequest, refused


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """How these fields are read, into fields of `RenderRequest` and notes."""

    names: tuple[str, ...]
    read: Callable[[Plan], Reading]


def asked_of(generation: Generation, slot: Slot) -> Asked:
    """What one slot of a generation was asked to be."""
    return Asked(
        provider=generation.provider,
        params=generation.params,
        service=generation.service,
        index=slot.index,
        pictures=pictures_of(generation),
    )


# Longer than any prompt that somebody wrote; what is read of it grows with it.
MOST_CHARACTERS = 100_000


def plan_render(
    asked: Asked, checkpoints: Checkpoints, *, random_seed: int
) -> RenderRequest | NotRenderable:
    """What is to be drawn for what was asked, or why that cannot be drawn here."""
    params = asked.params
    if not (params.prompt or "").strip():
        return refused("nobody has heard its prompt")
    for name, said in asdict(params).items():
        if isinstance(said, str) and len(said) > MOST_CHARACTERS:
            return refused(f"its {name} has {len(said):,} characters, which nothing here draws")
    work = read_work(params, asked.pictures)
    if isinstance(work, NotRenderable):
        return work
    checkpoint = checkpoints.checkpoint_for(params, asked.service)
    names = [name for _, name in asked_names(params, asked.service)]
    if checkpoint is None:
        return refused(
            f"no checkpoint draws {names[0] if names else 'a model that nobody named'}: "
            "add it to models in one of [render.checkpoints.…]"
        )
    plan = Plan(
        asked=asked,
        work=work,
        checkpoint=checkpoint,
        limits=limits_of(asked.provider, params.model, checkpoint),
        random_seed=random_seed,
    )
    drawn: dict[str, Any] = {}
    notes: list[Note] = []
    for rule in RULES:
        values, remarks = rule.read(plan)
        drawn |= values
        notes += remarks
    notes += _unruled(params)
    return RenderRequest(checkpoint=checkpoint, notes=tuple(notes), **drawn)


def _unruled(params: GenerationParams) -> list[Note]:
    ruled = {name for rule in RULES for name in rule.names}
    given = (it.name for it in fields(params) if getattr(params, it.name) is not None)
    return [ignored(name, "nothing here knows of it") for name in given if name not in ruled]


def _read_model(plan: Plan) -> Reading:
    asked, checkpoint = asked_names(plan.params, plan.asked.service), plan.checkpoint
    source = checkpoint.source
    notes = [
        substituted("model" if field == "service" else field, f"{name} is drawn with {source}")
        for field, name in asked
        if (field != "service" or len(asked) == 1) and not checkpoint.is_exactly(name)
    ]
    if not asked:
        notes.append(missing("model", f"nobody has heard it: {source} draws"))
    if checkpoint.tiny:
        notes.append(substituted("model", "the weights are random: this only demonstrates"))
    return {}, notes


def _read_prompts(plan: Plan) -> Reading:
    drawn: dict[str, Any] = {}
    notes: list[Note] = []
    for name in ("prompt", "negative_prompt"):
        text: str = getattr(plan.params, name) or ""
        most = plan.limits.words
        if most is not None and (count := prompting.count_words(text)) > most:
            text = prompting.cut_to_words(text, most)
            notes.append(clamped(name, f"{count} words, of which the provider reads {most}"))
        if plan.checkpoint.family.flows:
            if prompting.is_weighted(text):
                notes.append(ignored(name, "emphasis, which this checkpoint cannot weigh"))
            text = prompting.plain(text)
        elif prompting.is_overweight(text):
            most_weight = f"{prompting.MAX_WEIGHT:g}"
            notes.append(clamped(name, f"emphasis beyond {most_weight} is drawn as {most_weight}"))
        drawn[name] = text
    if drawn["negative_prompt"]:
        notes += _unread_negative(plan)
    return drawn, notes


def _unread_negative(plan: Plan) -> list[Note]:
    if plan.checkpoint.family == "flux":
        return [ignored("negative_prompt", "guidance is distilled into this checkpoint")]
    if amounts.read_guidance(plan)[0]["guidance_scale"] <= 1:
        return [ignored("negative_prompt", "guidance of 1 or less reads the prompt alone")]
    return []


RULES = (
    Rule(names=("task", "strength"), read=pipelines.read_task),
    Rule(names=("model", "version"), read=_read_model),
    Rule(names=("prompt", "negative_prompt"), read=_read_prompts),
    Rule(names=("width", "height"), read=amounts.read_size),
    Rule(names=("samples",), read=amounts.read_samples),
    Rule(names=("steps", "quality"), read=amounts.read_steps),
    Rule(names=("guidance_scale",), read=amounts.read_guidance),
    Rule(names=("seed",), read=amounts.read_seed),
    Rule(names=("scheduler", "karras_sigmas"), read=pipelines.read_scheduler),
    Rule(names=("clip_skip",), read=amounts.read_clip_skip),
    Rule(names=("loras", "lora_strengths"), read=adapters.read_loras),
    Rule(names=("embeddings",), read=adapters.read_embeddings),
    Rule(names=("vae",), read=adapters.read_vae),
    Rule(names=("panorama", "self_attention"), read=pipelines.read_pipeline),
    Rule(
        names=("tomesd", "upscale", "safety_checker", "enhance_prompt", "multi_lingual"),
        read=pipelines.read_switches,
    ),
)
