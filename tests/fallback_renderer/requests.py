"""Requests and checkpoints: by hand for a table, drawn at random for a law."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hypothesis import strategies as st

from archiver.models import GenerationParams
from fallback_renderer.asked import Asked
from fallback_renderer.checkpoints import Checkpoints, from_tree
from fallback_renderer.params import plan_render
from fallback_renderer.pictures import Picture
from fallback_renderer.request import NotRenderable, RenderRequest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RANDOM_SEED = 4321

TREE: dict[str, Any] = {
    "sd15": {
        "family": "sd15",
        "models": ["stable-diffusion-v1.5", "midjourney"],
        "path": "/models/sd15",
        "loras": {"more_details": "/loras/details.safetensors", "Animie": "/loras/a.safetensors"},
        "embeddings": {"easyneg": "/embeddings/easyneg.safetensors"},
        "vaes": {"stabilityai/sd-vae-ft-mse": "/vaes/mse"},
    },
    "sd21": {"family": "sd21", "models": ["sd-2.1"], "path": "/models/sd21"},
    "sdxl": {
        "family": "sdxl",
        "models": ["stable-diffusion-xl"],
        "hub": "stabilityai/stable-diffusion-xl-base-1.0",
        "revision": COMMIT,
        "variant": "fp16",
        "default": True,
    },
    "flux": {
        "family": "flux",
        "models": ["flux-pro", "flux-pro-1.1", "flux-dev"],
        "path": "/models/flux",
    },
    "sd3": {"family": "sd3", "models": ["stable-diffusion-3.5-large"], "path": "/models/sd3"},
}
TABLE: Checkpoints = from_tree(TREE)

MODELS = [model for table in TREE.values() for model in table["models"]]
INIT = Picture(role="init_image", blob_key="blobs/sha256/aa/aa.png")
MASK = Picture(role="mask_image", blob_key="blobs/sha256/bb/bb.png")


def plan(
    *,
    provider: str = "modelslab",
    service: str | None = None,
    index: int = 0,
    pictures: tuple[Picture, ...] = (),
    table: Checkpoints = TABLE,
    **params: Any,
) -> RenderRequest | NotRenderable:
    """What is planned for a text-to-image request of a prompt, or for whatever `params` say."""
    said = {"task": "text-to-image", "prompt": "a cat", "model": "stable-diffusion-v1.5", **params}
    asked = Asked(
        provider=provider,
        params=GenerationParams(**said),
        service=service,
        index=index,
        pictures=pictures,
    )
    return plan_render(asked, table, random_seed=RANDOM_SEED)


def drawn(**asked: Any) -> RenderRequest:
    """What is planned, where it must be drawable."""
    request = plan(**asked)
    assert isinstance(request, RenderRequest), request
    return request


def noted(request: RenderRequest) -> list[str]:
    """The notes in words, without the one on an unknown seed."""
    return [str(note) for note in request.notes if not str(note).startswith("missing: seed")]


_TEXTS = st.text(max_size=8) | st.sampled_from(["", "none", "((a)) (b:1.3) easyneg", "a,b,c"])
_BY_TYPE = {
    "int": st.integers(-3, 70) | st.integers(500, 4000) | st.integers(-(2**70), 2**70),
    "float": st.floats(-2, 40) | st.floats() | st.sampled_from([1.0, 7.5, 0.5]),
    "bool": st.booleans(),
}
# What makes a field interesting; the rest is drawn by its type.
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "task": st.sampled_from(["text-to-image", "image-to-image", "inpainting", "controlnet"]),
    "prompt": st.sampled_from(["a cat", "a cat " * 80, "a (red:99) easyneg", "\\(a cat\\)"]),
    "model": st.sampled_from(MODELS) | _TEXTS,
    "version": st.sampled_from(MODELS) | _TEXTS,
    "scheduler": st.sampled_from(["UniPCMultistepScheduler", "KarrasVe", "ddim"]) | _TEXTS,
    "loras": st.sampled_from(["more_details", "animie, more_details", "unknown"]) | _TEXTS,
    "lora_strengths": st.sampled_from(["0.5", "0.5,0.7", "9", "nan", "x"]) | _TEXTS,
    "embeddings": st.sampled_from(["easyneg", "easyneg,other"]) | _TEXTS,
    "vae": st.sampled_from(["stabilityai/sd-vae-ft-mse"]) | _TEXTS,
    "quality": st.sampled_from(["high", "standard"]) | _TEXTS,
}


_PROVIDERS = st.sampled_from(["doitong", "modelslab", "dashscope", "by hand"])


def _params(**fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[GenerationParams]:
    """Any parameters at all; a field that is added is drawn by its type, without being told."""
    by_name = {
        it.name: st.none() | _FIELDS.get(it.name, _BY_TYPE.get(str(it.type).split(" ")[0], _TEXTS))
        for it in fields(GenerationParams)
    }
    return st.builds(GenerationParams, **{**by_name, **fixed})


def any_asked() -> st.SearchStrategy[Asked]:
    """Any request to any provider."""
    return st.builds(
        Asked,
        provider=_PROVIDERS,
        params=_params(),
        service=st.none() | st.sampled_from(["flux-pro", "stable-diffusion", "video-pro"]),
        index=st.integers(0, 63),
        pictures=st.sampled_from([(), (INIT,), (MASK, INIT), (Picture(role="x", blob_key=None),)]),
    )


@st.composite
def drawable(draw: st.DrawFn) -> Asked:
    """A request that can be drawn, with anything else in it."""
    task, pictures = draw(
        st.sampled_from(
            [
                ("text-to-image", ()),
                ("image-to-image", (INIT,)),
                ("inpainting", (INIT, MASK)),
            ]
        )
    )
    params = draw(
        _params(task=st.just(task), prompt=_FIELDS["prompt"], model=st.sampled_from(MODELS))
    )
    return Asked(
        provider=draw(_PROVIDERS), params=params, index=draw(st.integers(0, 63)), pictures=pictures
    )
