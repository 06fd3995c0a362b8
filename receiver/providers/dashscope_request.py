"""What a submission to DashScope asked for, by `dashscope-stable-diffusion` and its neighbours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from archiver.models import GenerationParams, InputObservation
from receiver.providers.values import (
    MAX_SEED,
    as_bool,
    as_integer,
    as_list,
    as_mapping,
    as_number,
    as_text,
    as_url,
)

_SIZE = re.compile(r"\s*([0-9]{1,9})\s*[*xX]\s*([0-9]{1,9})\s*")
# `base_image_url`, `ref_img`, `mask_image_url`, `first_frame_url`, `images` and more every year.
_NAMES_PICTURE = re.compile(r"\w{0,40}(image|img|mask|frame|garment|ref)\w{0,40}")

_TASKS = {"text2image": "text-to-image", "image2image": "image-to-image"}


def task_name(word: str | None) -> str | None:
    """The task by DashScope's word for it, the one after `aigc` in paths and in keys."""
    return _TASKS.get(word, word) if word else None


def flat(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """`input` and `parameters` laid open: the SDK takes flat what the HTTP interface nests, and
    some models take `negative_prompt` in the one, some in the other.
    """
    return {**request, **as_mapping(request.get("input")), **as_mapping(request.get("parameters"))}


def read_params(given: Mapping[str, Any], task: str | None = None) -> GenerationParams:
    """What a request, made flat, asked for.

    Of several pictures the one in slot i is drawn with `seed` + i, as the document says; what is
    kept here is the seed as given. What was not given is not said either: the document has two
    defaults for `n`.
    """
    size = _SIZE.fullmatch(as_text(given.get("size")) or "")
    return GenerationParams(
        task=task,
        prompt=as_text(given.get("prompt")) or _spoken(given),
        negative_prompt=as_text(given.get("negative_prompt")),
        model=as_text(given.get("model")),
        width=as_integer(size[1]) if size else None,
        height=as_integer(size[2]) if size else None,
        samples=as_integer(given.get("n")),
        steps=as_integer(given.get("steps")),
        # stable-diffusion says `scale`, stable-diffusion-3.5 `cfg`, flux `guidance`.
        guidance_scale=next(
            (as_number(given[name]) for name in ("scale", "cfg", "guidance") if name in given), None
        ),
        seed=as_integer(given.get("seed"), least=0, most=MAX_SEED),
        strength=as_number(given.get("strength")),
        enhance_prompt=as_bool(given.get("prompt_extend")),
    )


def read_inputs(given: Mapping[str, Any]) -> tuple[InputObservation, ...]:
    """The pictures that a request, made flat, names; one role may have several."""
    return tuple(
        InputObservation(role=role, url=as_url(value))
        for role, value in _named(given)
        if as_text(value) is not None
    )


def _named(given: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for name, value in given.items():
        if _NAMES_PICTURE.fullmatch(name):
            yield from ((name, one) for one in as_list(value) or [value])
    for part in _message_parts(given):
        yield "image", part.get("image")


def _spoken(given: Mapping[str, Any]) -> str | None:
    """qwen-image and wan2.6 are asked by messages, as in a conversation."""
    texts = (as_text(part.get("text")) for part in _message_parts(given))
    return "\n".join(text for text in texts if text) or None


def _message_parts(given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for message in as_list(given.get("messages")):
        for part in as_list(as_mapping(message).get("content")):
            yield as_mapping(part)
