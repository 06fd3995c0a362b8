"""What a client posts, as JSON or as a form, read into one Submission.

The attributes are those of `modelslab-enterprise-text2img`; what the other endpoints need is in the
vendor's OpenAPI files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from receiver.simulator.modelslab.errors import invalid_field, invalid_key, no_model

# What each endpoint cannot do without; a path that ends in no such word is no endpoint.
REQUIRED: Mapping[str, Sequence[str]] = {
    "text2img": ("prompt",),
    "text-to-image": ("prompt",),
    "dreambooth": ("prompt",),
    "img2img": ("init_image",),
    "image-to-image": ("init_image",),
    "controlnet": ("prompt", "init_image"),
    "inpaint": ("init_image", "mask_image"),
    "outpaint": ("init_image",),
    "super_resolution": ("init_image",),
}
# Products whose endpoints draw with the model that the request names.
_WITH_MODELS = {"dreambooth", "images", "enterprise"}
_RANGES: Mapping[str, tuple[int, int]] = {
    "width": (1, 1024),
    "height": (1, 1024),
    "samples": (1, 4),
    "num_inference_steps": (1, 50),
    "guidance_scale": (1, 20),
    "clip_skip": (1, 8),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What a client asked for; sizes in pixels.

    `subject` is what to draw: the prompt, or where there is none the picture that is to be changed.
    `fields` is all that was sent.
    """

    prompt: str
    width: int
    height: int
    samples: int
    inference_steps: int
    guidance_scale: float
    seed: int | None
    base64: bool
    webhook_url: str | None
    track_id: Any
    subject: str
    fields: Mapping[str, Any] = field(repr=False)


def read_fields(body: bytes) -> dict[str, Any]:
    """The fields of a body; its bytes decide what it is, as many clients mistake the type.

    Raises RefusalError "Invalid Api Key" where nothing can be read.
    """
    try:
        text = body.decode("utf-8-sig")
        if not text.lstrip().startswith("{"):
            return dict(parse_qsl(text))
        return dict(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise invalid_key() from error


def read_submission(steps: Sequence[str], fields: Mapping[str, Any]) -> Submission:
    """A request to the endpoint at these steps of the path; raises RefusalError."""
    asked = dict(fields)
    if "url" in asked:  # as v3/super_resolution calls it
        asked.setdefault("init_image", asked["url"])
    _check(steps, asked)
    return Submission(
        prompt=_text(asked, "prompt"),
        width=_whole(asked, "width") or 512,
        height=_whole(asked, "height") or 512,
        samples=_whole(asked, "samples") or 1,
        inference_steps=_whole(asked, "num_inference_steps") or 20,
        guidance_scale=_number(asked, "guidance_scale") or 7.5,
        seed=_whole(asked, "seed"),
        base64=is_yes(asked.get("base64")),
        webhook_url=_webhook_url(asked),
        track_id=asked.get("track_id"),
        subject=_text(asked, "prompt") or _text(asked, "init_image"),
        fields=asked,
    )


def is_yes(value: object) -> bool:
    """Whether a switch is on, as the older documents write it or the newer ones."""
    return value is True or (isinstance(value, str) and value.lower() in {"yes", "true"})


def _check(steps: Sequence[str], asked: Mapping[str, Any]) -> None:
    endpoint, product = steps[-1], steps[-2]
    for name in REQUIRED[endpoint]:
        if not _text(asked, name):
            raise invalid_field(name, "field is required")
    needs_model = not _WITH_MODELS.isdisjoint((endpoint, product))
    if needs_model and not asked.get("model_id"):
        raise no_model()
    for name, (least, most) in _RANGES.items():
        number = _number(asked, name)
        if number is not None and not least <= number <= most:
            raise invalid_field(name, f"must be between {least} and {most}")


def _text(asked: Mapping[str, Any], name: str) -> str:
    text = asked.get(name) or ""
    # JSON can write half a surrogate pair, which no text can hold.
    if not isinstance(text, str) or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise invalid_field(name, "must be a string")
    return text


def _number(asked: Mapping[str, Any], name: str) -> float | None:
    value = asked.get(name)
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid_field(name, "must be a number") from error


def _whole(asked: Mapping[str, Any], name: str) -> int | None:
    value = asked.get(name)
    if value is None or value == "":
        return None
    try:
        if not isinstance(value, float):
            return int(value)
    except (TypeError, ValueError):
        pass
    raise invalid_field(name, "must be an integer")


def _webhook_url(asked: Mapping[str, Any]) -> str | None:
    url = _text(asked, "webhook")
    try:
        parts = urlsplit(url)
        well_formed = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        well_formed = False
    if url and not well_formed:
        raise invalid_field("webhook", "format is invalid")
    return url or None
