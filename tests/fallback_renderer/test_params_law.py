"""The law of parameters: whatever is asked is drawn as asked, or a note says what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from archiver.models import GenerationParams
from fallback_renderer import prompting
from fallback_renderer.asked import Asked
from fallback_renderer.limits import limits_of
from fallback_renderer.params import RULES, plan_render
from fallback_renderer.request import RenderRequest
from fallback_renderer.schedulers import _key
from tests.fallback_renderer.requests import RANDOM_SEED, TABLE, any_asked, drawable

NAMES = [it.name for it in fields(GenerationParams)]


def _same_scheduler(request: RenderRequest, said: str) -> bool:
    own = request.scheduler.class_name
    return not said.strip() or own is None or _key(own) == _key(said)


def _listed(said: str) -> list[str]:
    words = [word.strip() for word in said.split(",")]
    return [word for word in words if word.lower() not in ("", "none", "null", "no")]


def _same_text(request: RenderRequest, drawn: str, said: str) -> bool:
    return drawn == (prompting.plain(said) if request.checkpoint.family.flows else said)


# How it is seen, for each field, that a request is drawn as it was asked.
HONOURED: dict[str, Callable[[RenderRequest, Any, Asked], bool]] = {
    "task": lambda request, said, _: request.task == said,
    "prompt": lambda request, said, _: _same_text(request, request.prompt, said),
    "negative_prompt": lambda request, said, _: _same_text(request, request.negative_prompt, said),
    "model": lambda request, said, _: not said.strip() or request.checkpoint.is_exactly(said),
    "version": lambda request, said, _: not said.strip() or request.checkpoint.is_exactly(said),
    "width": lambda request, said, _: request.width == said,
    "height": lambda request, said, _: request.height == said,
    "samples": lambda _, said, __: 1 <= said <= 64,
    "steps": lambda request, said, _: request.steps == said,
    "guidance_scale": lambda request, said, _: request.guidance_scale == said,
    "seed": lambda request, said, asked: request.seed == said + asked.index,
    "scheduler": lambda request, said, _: _same_scheduler(request, said),
    "karras_sigmas": lambda request, said, _: (
        bool(request.scheduler.overrides.get("use_karras_sigmas")) == said
    ),
    "clip_skip": lambda request, said, _: request.clip_skip == said,
    "loras": lambda request, said, _: [lora.name for lora in request.loras] == _listed(said),
    "lora_strengths": lambda request, said, _: (
        not _listed(said)
        or {lora.strength for lora in request.loras}.issubset(map(float, _listed(said)))
    ),
    "embeddings": lambda request, said, _: (
        [part.name for part in request.embeddings] == list(dict.fromkeys(_listed(said)))
    ),
    "vae": lambda request, said, _: (
        (request.vae.name if request.vae else "") == "".join(_listed(said))
    ),
    "tomesd": lambda request, said, _: request.tomesd == said,
    "panorama": lambda request, said, _: request.panorama == said,
    "self_attention": lambda request, said, _: not request.self_attention and not said,
    "upscale": lambda request, said, _: not request.upscale and not said,
    "strength": lambda request, said, _: request.strength == said,
    "safety_checker": lambda request, said, _: request.safety_checker == said,
    "enhance_prompt": lambda _, said, __: not said,
    "multi_lingual": lambda _, said, __: not said,
    "quality": lambda _, __, ___: False,  # only ever a note
}


def test_every_field_has_its_rule_and_its_proof() -> None:
    """A field that is added must be read by one rule, and seen here to be drawn or noted."""
    ruled = [name for rule in RULES for name in rule.names]

    assert sorted(NAMES) == sorted(ruled)
    assert set(NAMES) == set(HONOURED)


@settings(max_examples=200)
@given(drawable())
@example(Asked(provider="doitong", params=GenerationParams(prompt="a", version="sd-xl")))
def test_nothing_is_dropped_in_silence(asked: Asked) -> None:
    """Each parameter of any request that can be drawn is drawn as asked, or has a note."""
    request = plan_render(asked, TABLE, random_seed=RANDOM_SEED)

    assert isinstance(request, RenderRequest)
    said = {name: getattr(asked.params, name) for name in NAMES}
    names = {note.name for note in request.notes}
    dropped = {
        name
        for name, value in said.items()
        if value is not None and name not in names and not HONOURED[name](request, value, asked)
    }
    assert set() == dropped


@given(any_asked())
def test_any_request_has_an_answer(asked: Asked) -> None:
    """There is no request that the renderer stumbles over: it is drawn or refused in words."""
    answer = plan_render(asked, TABLE, random_seed=RANDOM_SEED)

    assert isinstance(answer, RenderRequest) or answer.reason


@given(drawable())
def test_what_is_drawn_keeps_the_limits(asked: Asked) -> None:
    """Whatever was asked, every number that reaches the engine is one that it can draw."""
    request = plan_render(asked, TABLE, random_seed=RANDOM_SEED)

    assert isinstance(request, RenderRequest)
    limits = limits_of(asked.provider, asked.params.model, request.checkpoint)
    for side in (request.width, request.height):
        assert limits.sides.least <= side <= limits.sides.most
    multiple = 64 if request.panorama else 16 if request.checkpoint.family.flows else 8
    for drawn_at, side in zip(request.canvas, (request.width, request.height), strict=True):
        assert drawn_at % multiple == 0
        assert 0 <= drawn_at - side < multiple
    assert limits.step_counts.least <= request.steps <= limits.step_counts.most
    assert limits.guidance_scales.least <= request.guidance_scale <= limits.guidance_scales.most
    assert 0 <= request.seed < 2**64
    assert 1 <= request.clip_skip <= 8
    assert all(-4 <= lora.strength <= 4 for lora in request.loras)
    assert request.strength is None or int(request.steps * request.strength) >= 1


@given(drawable())
def test_a_request_travels_as_json(asked: Asked) -> None:
    """Whoever draws is in another process, and gets the very request."""
    request = plan_render(asked, TABLE, random_seed=RANDOM_SEED)

    assert request == msgspec.json.decode(msgspec.json.encode(request), type=RenderRequest)


@dataclass(frozen=True, kw_only=True, slots=True)
class Longer(GenerationParams):
    """Parameters as they may be one day."""

    aspect_ratio: str | None = None


def test_a_field_that_is_not_there_yet_is_noted() -> None:
    """A field added tomorrow is ignored aloud, even before anyone teaches it to a rule."""
    longer = Longer(task="text-to-image", prompt="a cat", model="sd-1.5", aspect_ratio="16:9")

    request = plan_render(Asked(provider="x", params=longer), TABLE, random_seed=1)

    assert isinstance(request, RenderRequest)
    assert "ignored: aspect_ratio: nothing here knows of it" in map(str, request.notes)


@given(st.integers(0, 2**64 - 1), st.integers(0, 63))
def test_a_picture_has_the_seed_of_its_place(seed: int, index: int) -> None:
    """Seed, seed + 1, … by the place among the pictures, and around at 64 bits with a note."""
    said = GenerationParams(task="text-to-image", prompt="a cat", model="sd-1.5", seed=seed)

    request = plan_render(
        Asked(provider="dashscope", params=said, index=index), TABLE, random_seed=RANDOM_SEED
    )

    assert isinstance(request, RenderRequest)
    assert (seed + index) % 2**64 == request.seed
    assert (seed + index >= 2**64) == any(note.name == "seed" for note in request.notes)
