"""Prompts → what a pipeline is told of them.

A short plain prompt goes to the pipeline as it is. CLIP's emphasis, embeddings, skipped layers and
prompts beyond its 77 tokens are encoded here; to skip layers there is no other way, for diffusers
0.42 looks for them in a place that transformers 5 does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fallback_renderer import prompting
from fallback_renderer.checkpoints import Family
from fallback_renderer.engine.clip import Encoder
from fallback_renderer.notes import Note, clamped
from fallback_renderer.request import RenderRequest

# The vectors of the embeddings for each text encoder, by the embeddings' names.
Vectors = Sequence[Mapping[str, Any]]

# How much of a prompt the pipelines read where the checkpoint flows, in T5's tokens.
_FLOW_TOKENS = {Family.FLUX: 512, Family.SD3: 256}
_CLIP_TOKENS = 77


def text_encoders(pipe: Any) -> list[tuple[Any, Any]]:
    """The CLIP text encoders that a pipeline with a UNet has, each with its tokenizer."""
    both = [(pipe.tokenizer, pipe.text_encoder)]
    if hasattr(pipe, "text_encoder_2"):
        both.append((pipe.tokenizer_2, pipe.text_encoder_2))
    return both


def encode(
    pipe: Any, request: RenderRequest, vectors: Vectors
) -> tuple[dict[str, Any], list[Note]]:
    """The arguments of the pipeline that stand for the prompts, and what they leave out."""
    if request.checkpoint.family.flows:
        return _told(request), _cut(pipe, request)
    encoders = [
        Encoder(
            tokenizer=tokenizer,
            network=network,
            vectors=known,
            penultimate=request.checkpoint.family is Family.SDXL,
        )
        for (tokenizer, network), known in zip(text_encoders(pipe), vectors, strict=True)
    ]
    if _is_plain(request, encoders):
        return _told(request), []
    most = min(encoder.most_skipped for encoder in encoders)
    notes = []
    if request.clip_skip - 1 > most:
        text = f"{request.clip_skip} is drawn as {most + 1}, for the text encoder has no more"
        notes.append(clamped("clip_skip", text))
    with torch.no_grad():
        given = _encoded(pipe, request, encoders, skipped=min(request.clip_skip - 1, most))
    return given, notes


def _told(request: RenderRequest) -> dict[str, str]:
    """The prompts themselves; where the checkpoint flows, the request has them in plain words."""
    family = request.checkpoint.family
    texts = {"prompt": request.prompt}
    if request.negative_prompt and family is not Family.FLUX:
        texts["negative_prompt"] = request.negative_prompt
    if family.flows:
        return texts
    return {name: prompting.plain(text) for name, text in texts.items()}


def _is_plain(request: RenderRequest, encoders: list[Encoder]) -> bool:
    return request.clip_skip == 1 and all(
        not prompting.is_weighted(prompt)
        and encoder.fits(prompting.plain(prompt))
        and len(prompting.split_names(prompt, encoder.vectors)) == 1
        for encoder in encoders
        for prompt in (request.prompt, request.negative_prompt)
    )


def _encoded(
    pipe: Any, request: RenderRequest, encoders: list[Encoder], *, skipped: int
) -> dict[str, Any]:
    """As the pipelines do it, layers are skipped for the prompt and never for the negative one."""
    prompt, negative_prompt = request.prompt, request.negative_prompt
    windows = max(one.windows(text) for one in encoders for text in (prompt, negative_prompt))
    states, pooled = _joined(encoders, prompt, skipped=skipped, windows=windows)
    if not negative_prompt and pipe.config.get("force_zeros_for_empty_prompt"):
        negative, negative_pooled = torch.zeros_like(states), torch.zeros_like(pooled)
    else:
        negative, negative_pooled = _joined(encoders, negative_prompt, skipped=0, windows=windows)
    given = {"prompt_embeds": states, "negative_prompt_embeds": negative}
    if pooled is not None:
        given |= {"pooled_prompt_embeds": pooled, "negative_pooled_prompt_embeds": negative_pooled}
    return given


def _joined(encoders: list[Encoder], prompt: str, *, skipped: int, windows: int) -> tuple[Any, Any]:
    """The states of all encoders side by side, and the pooled one of the last."""
    encoded = [one.encode(prompt, skipped=skipped, windows=windows) for one in encoders]
    return torch.cat([states for states, _ in encoded], dim=-1), encoded[-1][1]


def _cut(pipe: Any, request: RenderRequest) -> list[Note]:
    """Beyond what it reads, a checkpoint that flows cuts a prompt off without a word."""
    tokenizer, most = pipe.tokenizer_2, _FLOW_TOKENS[request.checkpoint.family]
    if request.checkpoint.family is Family.SD3:
        tokenizer = pipe.tokenizer_3
    if tokenizer is None:  # SD3 can do without T5, and CLIP reads less
        tokenizer, most = pipe.tokenizer, _CLIP_TOKENS
    notes = []
    for name, text in (("prompt", request.prompt), ("negative_prompt", request.negative_prompt)):
        count = len(tokenizer(text).input_ids)
        if count > most:
            notes.append(clamped(name, f"{count} tokens, of which the checkpoint reads {most}"))
    return notes
