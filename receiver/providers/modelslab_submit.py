"""Parameters as a submission to ModelsLab, by `modelslab-enterprise-text2img`.

Its whole numbers are texts and its switches `yes` and `no`, as its example writes them.
"""

from __future__ import annotations

from archiver.errors import UnreadableError
from archiver.models import Failure, GenerationParams
from receiver.exchange import Request
from receiver.providers.modelslab_exchange import NAME
from receiver.providers.modelslab_failures import failure_of
from receiver.providers.requests import post
from receiver.providers.taken import NotTakenError, given
from receiver.providers.values import read_document

# `version` says which of its APIs the key is for: the community's, or an enterprise server's.
_PATHS = {"v6": "/api/v6/images/text2img", "enterprise": "/api/v1/enterprise/text2img"}
_FIELDS = {
    "model": "model_id",
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "width": "width",
    "height": "height",
    "samples": "samples",
    "steps": "num_inference_steps",
    "safety_checker": "safety_checker",
    "enhance_prompt": "enhance_prompt",
    "seed": "seed",
    "guidance_scale": "guidance_scale",
    "multi_lingual": "multi_lingual",
    "panorama": "panorama",
    "self_attention": "self_attention",
    "upscale": "upscale",
    "embeddings": "embeddings_model",
    "loras": "lora_model",
    "lora_strengths": "lora_strength",
    "clip_skip": "clip_skip",
    "tomesd": "tomesd",
    "karras_sigmas": "use_karras_sigmas",
    "vae": "vae",
    "scheduler": "scheduler",
}
TAKES = {**_FIELDS, "version": ""}


def submission(
    params: GenerationParams, *, api_key: str, idempotency_key: str, webhook_url: str | None = None
) -> Request:
    """See `submitters.Submitter.submission`; the key is our `track_id`, which webhooks repeat."""
    said = given(NAME, params, TAKES)
    if "model" not in said:
        raise NotTakenError(f"{NAME} needs a model: the id in its list of models")
    version = said.pop("version", "v6")
    if version not in _PATHS:
        raise NotTakenError(f"version = {version!r}: of {NAME} it is {' or '.join(_PATHS)}")
    body: dict[str, object] = {
        "key": api_key,
        "track_id": idempotency_key,
        "webhook": webhook_url,
    }
    body |= {_FIELDS[name]: _written(name, value) for name, value in said.items()}
    return post(_PATHS[version], body)


def refusal(status: int, answer: bytes) -> Failure:
    """See `submitters.Submitter.refusal`: its words, most of them in HTTP 200."""
    try:
        return failure_of(read_document(answer), status)
    except UnreadableError:
        return failure_of({"message": f"answered {status}"}, status)


def _written(name: str, value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    # `seed` is null in the example and a number in the answer.
    return str(value) if isinstance(value, int) and name != "seed" else value
