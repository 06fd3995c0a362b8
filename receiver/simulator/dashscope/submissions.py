"""What a client posts to `image-synthesis`, read into one Submission.

`dashscope-stable-diffusion` has the parameters, their ranges and their defaults.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from receiver.simulator.dashscope.refusals import invalid_parameter, model_not_found

DEFAULT_SIZES: Mapping[str, tuple[int, int]] = {
    "stable-diffusion-xl": (1024, 1024),
    "stable-diffusion-v1.5": (512, 512),
}
_SIZE = re.compile(r"([1-9]\d{0,3})\*([1-9]\d{0,3})", re.ASCII)
_SIDES = range(512, 1024 + 1, 128)


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What was asked for; `size` in pixels, `seed` None where chance is to choose."""

    model: str
    prompt: str
    size: tuple[int, int]
    n: int = 1
    seed: int | None = None

    @property
    def fits_the_model(self) -> bool:
        """Whether the model draws pictures of this size."""
        if self.model == "stable-diffusion-v1.5":
            return self.size == DEFAULT_SIZES[self.model]
        return all(side in _SIDES for side in self.size)


def read_submission(body: Any) -> Submission:
    """Read a request body; raises RefusalError 400 or 404.

    A size that is one, but not of this model, is taken: the task fails of it, as in the document.
    """
    asked = _object(body, "the body")
    model = _text(asked.get("model"), "model")
    if model not in DEFAULT_SIZES:
        raise model_not_found()
    source = _object(asked.get("input"), "input")
    if source.get("negative_prompt") is not None:
        _text(source["negative_prompt"], "input.negative_prompt", empty=True)
    given = _object(asked.get("parameters") or {}, "parameters")
    n = _integer(given, "n", 1, 4)
    _integer(given, "steps", 1, 500)
    _integer(given, "scale", 1, 15)
    return Submission(
        model=model,
        prompt=_text(source.get("prompt"), "input.prompt"),
        size=_size(given.get("size"), model),
        n=1 if n is None else n,
        seed=_integer(given, "seed", 0, 2**32 - 1),
    )


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise invalid_parameter(f"{name} must be an object")
    return value


def _text(value: Any, name: str, *, empty: bool = False) -> str:
    # JSON can write half a surrogate pair, which no text can hold.
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise invalid_parameter(f"{name} must be a string")
    if not empty and not value.strip():
        raise invalid_parameter(f"{name} is required")
    return value


def _integer(given: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if type(value) is not int or not least <= value <= most:
        raise invalid_parameter(f"parameters.{name} must be a whole number, {least} to {most}")
    return value


def _size(value: Any, model: str) -> tuple[int, int]:
    if value is None:
        return DEFAULT_SIZES[model]
    size = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if size is None:
        raise invalid_parameter("parameters.size must look like 1024*1024")
    return int(size[1]), int(size[2])
