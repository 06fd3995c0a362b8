"""What was asked of ModelsLab and what it says it drew, as parameters.

By `modelslab-enterprise-text2img` (the request's attributes and the answer's `meta`) and the
vendor's OpenAPI files for the other endpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from archiver.errors import UnreadableError
from archiver.models import GenerationParams, InputObservation
from receiver.providers.values import (
    MAX_SEED,
    as_bool,
    as_integer,
    as_number,
    as_text,
    as_url,
    read_document,
)

Value = TypeVar("Value")

_MAX_FIELDS = 200

# The last step of a submission's path; what stands for none of them is its own word.
_TASKS = {
    "text2img": "text-to-image",
    "dreambooth": "text-to-image",
    "img2img": "image-to-image",
    "inpaint": "inpainting",
}

_INPUTS = (
    *("init_image", "init_image_2", "mask_image", "control_image", "ip_adapter_image"),
    *("face_image", "reference_image"),
)


# What clients write where they have none.
_NO_PICTURE = frozenset({"", "none", "null", "no", "false"})


def read_request(body: bytes) -> Mapping[str, Any]:
    """A request's fields; raises UnreadableError.

    Form-encoded by `modelslab-overview`, JSON by all its examples; the bytes decide, for clients
    that post JSON often leave the content type at their library's default.
    """
    if body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return read_document(body)
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=_MAX_FIELDS))
    except ValueError as error:
        raise UnreadableError(f"the request is no form: {error}") from error


def read_task(request: Mapping[str, Any], endpoint: str = "") -> str | None:
    """What kind of drawing it is: by the endpoint, else by the pictures that the request names."""
    if endpoint:
        return _TASKS.get(endpoint, endpoint)
    if request.get("mask_image"):
        return "inpainting"
    if request.get("controlnet_model"):
        return "controlnet"
    if request.get("init_image"):
        return "image-to-image"
    return "text-to-image" if as_text(request.get("prompt")) else None


def read_params(
    request: Mapping[str, Any], meta: Mapping[str, Any], *, task: str | None = None
) -> GenerationParams:
    """The parameters that were effective: `meta` is what was drawn, the request what was asked.

    `meta` wins, since only it knows the seed where the request said null, the model that an id
    stood for, and the prompt after `enhance_prompt`, whose default alters it. When the two are
    heard in different deliveries `merge` settles a contradiction by `greatest`: either is true.

    The negative prompt alone is the request's and never read from `meta`, which appends a page of
    the provider's own words to it and so would always win that comparison.
    """

    def read(reader: Callable[[object], Value | None], *names: str) -> Value | None:
        readings = (reader(form.get(name)) for form in (meta, request) for name in names)
        return next((value for value in readings if value is not None), None)

    return GenerationParams(
        task=task,
        prompt=read(as_text, "prompt"),
        negative_prompt=as_text(request.get("negative_prompt")),
        model=read(as_text, "model_id", "model"),
        width=read(as_integer, "W", "width"),
        height=read(as_integer, "H", "height"),
        samples=read(as_integer, "n_samples", "samples"),
        steps=read(as_integer, "steps", "num_inference_steps"),
        guidance_scale=read(as_number, "guidance_scale"),
        seed=read(partial(as_integer, least=0, most=MAX_SEED), "seed"),
        scheduler=read(as_text, "scheduler"),
        karras_sigmas=read(as_bool, "use_karras_sigmas"),
        clip_skip=read(as_integer, "clip_skip"),
        loras=read(_as_list, "lora", "lora_model"),
        lora_strengths=read(_as_list, "lora_strength"),
        embeddings=read(_as_list, "embeddings", "embeddings_model"),
        vae=read(as_text, "vae"),
        tomesd=read(as_bool, "tomesd"),
        panorama=read(as_bool, "panorama"),
        self_attention=read(as_bool, "self_attention"),
        upscale=read(as_bool, "upscale"),
        strength=read(as_number, "strength"),
        safety_checker=read(as_bool, "safetychecker", "safety_checker"),
        enhance_prompt=read(as_bool, "enhance_prompt"),
        multi_lingual=read(as_bool, "multi_lingual"),
    )


def read_inputs(request: Mapping[str, Any]) -> tuple[InputObservation, ...]:
    """The pictures that a request names; one sent as base64 text has no link to keep."""
    return tuple(
        InputObservation(role=role, url=as_url(value))
        for role in _INPUTS
        for value in _as_values(request.get(role))
        if (as_text(value) or "").lower() not in _NO_PICTURE
    )


def _as_values(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _as_list(value: object) -> str | None:
    """A list in text: `"a,b"` as documented, `1` as answered, or a real list."""
    items = (as_text(item) or _as_numeral(item) for item in _as_values(value))
    return ",".join(item for item in items if item is not None) or None


def _as_numeral(value: object) -> str | None:
    number = as_number(value)
    return None if number is None else f"{number:g}"
