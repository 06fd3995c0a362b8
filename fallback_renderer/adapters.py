"""LoRAs, embeddings and VAEs by name: which of those asked for the checkpoint's table has."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fallback_renderer.asked import Plan, Reading
from fallback_renderer.limits import Range
from fallback_renderer.notes import Note, clamped, ignored, missing
from fallback_renderer.prompting import split_names
from fallback_renderer.request import Lora, Part

# Negative ones are in use, and a slider LoRA goes to about four either way.
_STRENGTHS = Range(least=-4.0, most=4.0)

# More than anybody puts on one picture; each takes its time to load.
_MOST = 16

_NOTHING = frozenset({"", "none", "null", "no"})


def read_loras(plan: Plan) -> Reading:
    """Every LoRA with its own strength; one strength alone is for all, and 1 where none is."""
    params, checkpoint = plan.params, plan.checkpoint
    names, notes = _counted("loras", _listed(params.loras))
    said = _listed(params.lora_strengths)[:_MOST]
    if len(said) > len(names):
        notes.append(ignored("lora_strengths", f"{len(said)} for {len(names)} LoRAs"))
    elif 1 < len(said) < len(names):
        notes.append(missing("lora_strengths", f"{len(said)} for {len(names)} LoRAs: 1 is taken"))
    shared = said * len(names) if len(said) == 1 else said
    loras: list[Lora] = []
    for place, name in enumerate(names):
        strength = 1.0
        if place < len(shared):
            strength, complaint = _strength(shared[place])
            notes += complaint
        path = _find(name, checkpoint.loras)
        if path is None:
            notes.append(missing("loras", f"{name} is not among the checkpoint's loras"))
        elif any(lora.path == path for lora in loras):
            notes.append(ignored("loras", f"{name} is asked for twice; the first counts"))
        else:
            loras.append(Lora(name=name, path=path, strength=strength))
    return {"loras": tuple(loras)}, notes


def read_embeddings(plan: Plan) -> Reading:
    """Every embedding whose name stands in a prompt: that is the word that it gives a meaning."""
    params, checkpoint = plan.params, plan.checkpoint
    names = _listed(params.embeddings)
    if names and checkpoint.family.flows:
        return {"embeddings": ()}, [ignored("embeddings", f"{checkpoint.family} takes none")]
    prompts = f"{params.prompt or ''}\n{params.negative_prompt or ''}"
    parts: list[Part] = []
    names, notes = _counted("embeddings", names)
    for name in dict.fromkeys(names):
        path = _find(name, checkpoint.embeddings)
        if path is None:
            notes.append(missing("embeddings", f"{name} is not among the checkpoint's embeddings"))
        elif len(split_names(prompts, [name])) == 1:
            notes.append(ignored("embeddings", f"{name} stands in neither prompt"))
        else:
            parts.append(Part(name=name, path=path))
    return {"embeddings": tuple(parts)}, notes


def read_vae(plan: Plan) -> Reading:
    """The VAE asked for; None is the checkpoint's own."""
    name = (plan.params.vae or "").strip()
    if name.lower() in _NOTHING:
        return {"vae": None}, []
    path = _find(name, plan.checkpoint.vaes)
    if path is None:
        text = f"{name} is not among the checkpoint's vaes; its own is used"
        return {"vae": None}, [missing("vae", text)]
    return {"vae": Part(name=name, path=path)}, []


def _strength(text: str) -> tuple[float, list[Note]]:
    try:
        said = float(text)
    except ValueError:
        said = math.nan
    if math.isnan(said):
        return 1.0, [ignored("lora_strengths", f"{text} is no number: 1 is taken")]
    strength = _STRENGTHS.nearest(said)
    if strength != said:
        return strength, [clamped("lora_strengths", f"{text} is drawn as {strength:g}")]
    return strength, []


def _listed(text: str | None) -> list[str]:
    parts = (part.strip() for part in (text or "").split(","))
    return [part for part in parts if part.lower() not in _NOTHING]


def _find(name: str, files: Mapping[str, str]) -> str | None:
    folded = name.casefold()
    return next((path for known, path in files.items() if known.casefold() == folded), None)


def _counted(field: str, names: list[str]) -> tuple[list[str], list[Note]]:
    """As many of them as are put on one picture."""
    if len(names) <= _MOST:
        return names, []
    return names[:_MOST], [
        clamped(field, f"{len(names)} are asked for, and the first {_MOST} count")
    ]
