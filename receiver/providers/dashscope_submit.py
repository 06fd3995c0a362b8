"""Parameters as a submission to DashScope, by `dashscope-stable-diffusion`."""

from __future__ import annotations

from typing import Any

from archiver.models import Failure, GenerationParams
from receiver.exchange import Request
from receiver.providers import dashscope_task as tasks
from receiver.providers.dashscope_failures import failure
from receiver.providers.requests import authorization, post
from receiver.providers.taken import NotTakenError, given
from receiver.providers.values import as_document

_PATH = "/api/v1/services/aigc/text2image/image-synthesis"
_PARAMETERS = {"samples": "n", "steps": "steps", "seed": "seed"}
TAKES = dict.fromkeys(
    ("prompt", "negative_prompt", "model", "width", "height", "guidance_scale", *_PARAMETERS)
)


def submission(
    params: GenerationParams, *, api_key: str, idempotency_key: str, webhook_url: str | None = None
) -> Request:
    """See `submitters.Submitter.submission`: neither a key for repeating nor a webhook is known."""
    said = given(tasks.NAME, params, TAKES)
    if "model" not in said:
        raise NotTakenError(f"{tasks.NAME} needs a model, such as stable-diffusion-xl")
    asked = {"prompt": said["prompt"]}
    if "negative_prompt" in said:
        asked["negative_prompt"] = said["negative_prompt"]
    parameters = {name: said[own] for own, name in _PARAMETERS.items() if own in said}
    parameters |= _size(said) | _guidance(said)
    body = {"model": said["model"], "input": asked, "parameters": parameters}
    return post(_PATH, body, authorization(api_key), ("X-DashScope-Async", "enable"))


def refusal(status: int, answer: bytes) -> Failure:
    """See `submitters.Submitter.refusal`: `code` and `message`."""
    code, message = tasks.reason(tasks.flat(as_document(answer)))
    return failure(code, message or f"answered {status}")


def _size(said: dict[str, Any]) -> dict[str, str]:
    """ "size", width before height by its examples."""
    if ("width" in said) != ("height" in said):
        raise NotTakenError(f"{tasks.NAME} takes width and height only together")
    return {"size": f"{said['width']}*{said['height']}"} if "width" in said else {}


def _guidance(said: dict[str, Any]) -> dict[str, float]:
    """stable-diffusion says `scale` and wants it whole, stable-diffusion-3.5 `cfg`, flux
    `guidance`."""
    if "guidance_scale" not in said:
        return {}
    scale, model = said["guidance_scale"], said["model"]
    if model.startswith("stable-diffusion-3"):
        return {"cfg": scale}
    if model.startswith("flux"):
        return {"guidance": scale}
    if scale != int(scale):
        raise NotTakenError(f"guidance_scale = {scale}: {model} takes whole numbers only")
    return {"scale": int(scale)}
