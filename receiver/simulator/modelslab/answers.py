"""The documented answers and webhooks, key for key, as PHP writes them.

A success is the one of `modelslab-enterprise-text2img`, to which version 6 adds three keys; what
else there is comes from the vendor's OpenAPI files and its page `webhooks`. The answer to a fetch
has no `meta`, and ids are numbers in answers and text in webhooks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from receiver.simulator.modelslab.forms import is_yes
from receiver.simulator.modelslab.generations import Generation

_TIP = "Your image is processing in background, you can get this image using fetch API"
_WAIT = "Try to fetch request after seconds estimated"
_FAILED = "Failed, Try Again"
_ADDED_NEGATIVES = (
    " ((out of frame)), ((extra fingers)), mutated hands, ((poorly drawn hands)), "
    "((poorly drawn face)), (((mutation))), (((deformed))), (((tiling))), ((naked)), ((tile)), "
    "((fleshpile)), ((ugly)), (((abstract))), blurry, ((bad anatomy)), ((bad proportions)), "
    "((extra limbs)), cloned face, glitchy, ((extra breasts)), ((double torso)), ((extra arms)), "
    "((extra hands)), ((mangled fingers)), ((missing breasts)), (missing lips), ((ugly face)), "
    "((fat)), ((extra legs))"
)
_OF_CHANGED_PICTURES = ("init_image", "mask_image", "strength", "scale")


def to_bytes(document: Mapping[str, Any]) -> bytes:
    """A document in JSON as PHP's json_encode writes it, slashes escaped."""
    return json.dumps(document, separators=(",", ":")).replace("/", "\\/").encode()


def fetch_path(steps: tuple[str, ...], generation_id: int) -> str:
    """Where to fetch what was asked for at these steps of a path.

    That is beside the endpoint, but for `v4/dreambooth`, whose fetches are version 3's.
    """
    beside = ("v3", "dreambooth") if steps[:2] == ("v4", "dreambooth") else steps[:-1]
    return f"/api/{'/'.join(beside)}/fetch/{generation_id}"


def processing(
    generation: Generation, *, fetch_result: str, future_links: Sequence[str], eta_seconds: float
) -> dict[str, Any]:
    """To a submission: it will take a while, and `future_links` do not work yet."""
    return {
        "status": "processing",
        "tip": _TIP,
        "eta": eta_seconds,
        **_message(generation, _WAIT),
        "webhook_status": "",
        "fetch_result": fetch_result,
        "id": generation.id,
        "output": [],
        "meta": _meta(generation),
        "future_links": list(future_links),
    }


def still_processing(generation: Generation, *, eta_seconds: float) -> dict[str, Any]:
    """To a fetch: not yet."""
    return {
        "status": "processing",
        "id": generation.id,
        "eta": eta_seconds,
        **_message(generation, _WAIT),
        "output": "",
    }


def success(generation: Generation, output: Sequence[str]) -> dict[str, Any]:
    """To a submission: here is the picture."""
    return {
        "status": "success",
        "generationTime": _generation_seconds(generation),
        "id": generation.id,
        "output": list(output),
        **_more_of_success(generation, output),
        "meta": _meta(generation),
    }


def fetched(generation: Generation, output: Sequence[str]) -> dict[str, Any]:
    """To a fetch: here is the picture."""
    return {
        "status": "success",
        "id": generation.id,
        "output": list(output),
        **_more_of_success(generation, output),
    }


def failed(generation: Generation, *, named: bool) -> dict[str, Any]:
    """To a submission, which names no generation, or to a fetch, which does."""
    return {
        "status": "failed",
        "id": generation.id if named else "",
        **_message(generation, _FAILED),
        "output": "",
    }


def webhook(generation: Generation, output: Sequence[str]) -> dict[str, Any]:
    """The webhook of a generation that has ended."""
    track_id = generation.submission.track_id
    if generation.state == "failed":
        said = {"status": "failed", "id": str(generation.id), **_message(generation, _FAILED)}
        return {**said, "track_id": track_id}
    return {
        "status": "success",
        "id": str(generation.id),
        "output": list(output),
        "generationTime": _generation_seconds(generation),
        "track_id": track_id,
        "meta": _meta(generation),
    }


def _message(generation: Generation, text: str) -> dict[str, str]:
    return {"messege" if "misspelt" in generation.faults else "message": text}


def _generation_seconds(generation: Generation) -> float:
    ended_at = generation.ended_at or generation.created_at
    return (ended_at - generation.created_at).total_seconds()


def _more_of_success(generation: Generation, output: Sequence[str]) -> dict[str, Any]:
    more: dict[str, Any] = {}
    is_modern = generation.steps[0] in {"v6", "v7"}
    flagged = generation.flagged_slots
    if is_modern and "inline" not in generation.faults:
        more["proxy_links"] = list(output)
    if is_modern or flagged:
        one_by_one = (
            "partly_moderated" in generation.faults and "moderated" not in generation.faults
        )
        flags = [slot in flagged for slot in generation.slots]
        more["nsfw_content_detected"] = flags if one_by_one else bool(flagged)
    if is_modern:
        more["webhook_status"] = ""
    return more


def _meta(generation: Generation) -> dict[str, Any]:
    asked = generation.submission
    fields = asked.fields
    changed = {name: fields[name] for name in _OF_CHANGED_PICTURES if fields.get(name)}

    def word(name: str) -> str:
        return "yes" if is_yes(fields.get(name)) else "no"

    return {
        "prompt": asked.prompt,
        "model_id": fields.get("model_id") or "runwayml/stable-diffusion-v1-5",
        "negative_prompt": f"{fields.get('negative_prompt') or ''}{_ADDED_NEGATIVES}",
        "scheduler": fields.get("scheduler") or "UniPCMultistepScheduler",
        "revision": "fp16",
        "safetychecker": word("safety_checker"),
        "W": asked.width,
        "H": asked.height,
        "enable_attention_slicing": "true",
        "file_prefix": generation.file_prefix,
        "guidance_scale": asked.guidance_scale,
        "seed": generation.seed,
        "steps": asked.inference_steps,
        "n_samples": asked.samples,
        "upscale": word("upscale"),
        "multi_lingual": word("multi_lingual"),
        "panorama": word("panorama"),
        "self_attention": word("self_attention"),
        "embeddings": fields.get("embeddings_model"),
        "lora": fields.get("lora_model"),
        "outdir": "out",
        "vae": fields.get("vae") or "stabilityai/sd-vae-ft-mse",
        **changed,
    }
