"""What becomes of each provider's parameters, and the words in which it is noted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from archiver.models import Asset, Generation, GenerationParams, Origin, Slot
from fallback_renderer.amounts import MAX_SAMPLES
from fallback_renderer.checkpoints import from_tree
from fallback_renderer.params import asked_of
from fallback_renderer.pictures import Picture
from fallback_renderer.request import Lora, NotRenderable, Part
from tests.fallback_renderer.requests import INIT, MASK, RANDOM_SEED, TREE, drawn, noted, plan

SD15, SDXL = "stable-diffusion-v1.5", "stable-diffusion-xl"
FLUX, SD3 = "flux-dev", "stable-diffusion-3.5-large"

LOST = Picture(role="init_image", blob_key=None)
CONTROL = Picture(role="control_image", blob_key="blobs/x")
GARMENT = Picture(role="base_image_url", blob_key="blobs/y")

# What is asked; what is drawn, where that is not what was asked; the note.
DRAWN: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"width": 512, "height": 768}, {"width": 512, "height": 768}, []),
    ({"width": 100, "height": 75}, {"width": 100, "height": 75}, []),
    ({"width": 4096}, {"width": 1024}, ["clamped: width: 4096 is drawn as 1024"]),
    ({"height": 1}, {"height": 64}, ["clamped: height: 1 is drawn as 64"]),
    ({"model": SDXL}, {"width": 1024, "height": 1024, "guidance_scale": 5.0}, []),
    ({"provider": "doitong"}, {"width": 1024, "height": 1024}, []),
    ({"steps": 20}, {"steps": 20}, []),
    ({}, {"steps": 30, "guidance_scale": 7.5, "width": 512, "clip_skip": 1}, []),
    ({"steps": 80}, {"steps": 50}, ["clamped: steps: 80 is drawn as 50"]),
    ({"steps": 80, "provider": "doitong"}, {"steps": 80}, []),
    (
        {"guidance_scale": 0.5},
        {"guidance_scale": 1},
        ["clamped: guidance_scale: 0.5 is drawn as 1"],
    ),
    (
        {"guidance_scale": float("nan")},
        {"guidance_scale": 7.5},
        ["ignored: guidance_scale: it is no number: 7.5 is taken"],
    ),
    ({"quality": "high"}, {"steps": 40}, ["substituted: quality: high is drawn in 40 steps"]),
    ({"quality": "low"}, {"steps": 20}, ["substituted: quality: low is drawn in 20 steps"]),
    ({"quality": "8K"}, {"steps": 30}, ["ignored: quality: 8K is unknown"]),
    (
        {"quality": "high", "steps": 12},
        {"steps": 12},
        ["ignored: quality: high: the steps are given"],
    ),
    ({"seed": 42}, {"seed": 42}, []),
    (
        {"seed": 42, "index": 2},
        {"seed": 44},
        ["substituted: seed: 44, for only the first picture of several is known to have 42"],
    ),
    ({"seed": 42, "index": 2, "provider": "dashscope"}, {"seed": 44}, []),
    (
        {"seed": 2**64 - 1, "index": 2, "provider": "dashscope"},
        {"seed": 1},
        [f"clamped: seed: {2**64 - 1} is drawn as 1, which has 64 bits"],
    ),
    ({"samples": 4}, {}, []),
    (
        {"samples": 99},
        {},
        [f"clamped: samples: 99: the archive keeps from 1 to {MAX_SAMPLES}"],
    ),
    ({"clip_skip": 2}, {"clip_skip": 2}, []),
    ({"clip_skip": 9}, {"clip_skip": 8}, ["clamped: clip_skip: 9 is drawn as 8"]),
    (
        {"clip_skip": 2, "model": FLUX},
        {"clip_skip": 1},
        ["ignored: clip_skip: this checkpoint does not draw by CLIP"],
    ),
    ({"clip_skip": 1, "model": FLUX}, {"clip_skip": 1}, []),
    ({"tomesd": True}, {"tomesd": True}, []),
    (
        {"tomesd": True, "model": SD3},
        {"tomesd": False},
        ["ignored: tomesd: this checkpoint has no UNet to merge tokens in"],
    ),
    ({"panorama": True, "width": 1024}, {"panorama": True}, []),
    (
        {"panorama": True},
        {"panorama": False},
        ["ignored: panorama: up to 512 pixels it is a plain drawing"],
    ),
    (
        {"panorama": True, "model": SDXL},
        {"panorama": False},
        ["ignored: panorama: there is no pipeline for text-to-image by sdxl"],
    ),
    (
        {"self_attention": True},
        {"self_attention": True},
        ["substituted: self_attention: perturbed-attention guidance"],
    ),
    (
        {"self_attention": True, "panorama": True, "width": 1024},
        {"self_attention": False, "panorama": True},
        ["ignored: self_attention: there is no pipeline for a panorama with it"],
    ),
    (
        {"self_attention": True, "model": FLUX},
        {"self_attention": False},
        ["ignored: self_attention: there is no pipeline for text-to-image by flux with it"],
    ),
    (
        {"upscale": True},
        {"upscale": True, "width": 512},
        ["substituted: upscale: Lanczos resampling to twice the size"],
    ),
    ({"safety_checker": False}, {"safety_checker": False}, []),
    ({}, {"safety_checker": True}, []),
    (
        {"enhance_prompt": True, "multi_lingual": True},
        {},
        [
            "ignored: enhance_prompt: the provider's own rewriting is not known",
            "ignored: multi_lingual: nothing here translates the prompt",
        ],
    ),
    ({"enhance_prompt": False, "multi_lingual": False}, {}, []),
    (
        {"strength": 0.5},
        {"strength": None},
        ["ignored: strength: there is no picture to begin with"],
    ),
    ({"prompt": "((red)) cat"}, {"prompt": "((red)) cat"}, []),
    (
        {"prompt": "(red:20) cat"},
        {"prompt": "(red:20) cat"},
        ["clamped: prompt: emphasis beyond 10 is drawn as 10"],
    ),
    (
        {"prompt": "((red)) cat", "model": FLUX},
        {"prompt": "red cat"},
        ["ignored: prompt: emphasis, which this checkpoint cannot weigh"],
    ),
    (
        {"negative_prompt": "a dog", "model": FLUX},
        {"negative_prompt": "a dog"},
        ["ignored: negative_prompt: guidance is distilled into this checkpoint"],
    ),
    ({"negative_prompt": "a dog", "model": SD3}, {"negative_prompt": "a dog"}, []),
    (
        {"negative_prompt": "a dog", "guidance_scale": 1.0},
        {"negative_prompt": "a dog"},
        ["ignored: negative_prompt: guidance of 1 or less reads the prompt alone"],
    ),
]


@pytest.mark.parametrize(("asked", "expected", "notes"), DRAWN, ids=lambda it: str(it)[:50])
def test_a_parameter_is_drawn_or_noted(
    asked: dict[str, Any], expected: dict[str, Any], notes: list[str]
) -> None:
    """The table of parameters, row by row."""
    request = drawn(**asked)

    assert expected == {name: getattr(request, name) for name in expected}
    assert notes == noted(request)


# What DashScope's document says of its two models.
DASHSCOPE: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    (SD15, {}, {"width": 512, "height": 512, "steps": 50, "guidance_scale": 10}, []),
    (SDXL, {}, {"width": 1024, "height": 1024, "steps": 50, "guidance_scale": 10}, []),
    (SDXL, {"width": 512, "height": 896}, {"width": 512, "height": 896}, []),
    (SDXL, {"width": 720}, {"width": 768}, ["clamped: width: 720 is drawn as 768"]),
    (SDXL, {"height": 1280}, {"height": 1024}, ["clamped: height: 1280 is drawn as 1024"]),
    (SD15, {"width": 768}, {"width": 512}, ["clamped: width: 768 is drawn as 512"]),
    (SDXL, {"steps": 500}, {"steps": 500}, []),
    (SDXL, {"steps": 501}, {"steps": 500}, ["clamped: steps: 501 is drawn as 500"]),
    (
        SDXL,
        {"guidance_scale": 16.0},
        {"guidance_scale": 15},
        ["clamped: guidance_scale: 16.0 is drawn as 15"],
    ),
    (SDXL, {"prompt": "word " * 75}, {"prompt": "word " * 75}, []),
    (
        SDXL,
        {"prompt": "word " * 76, "negative_prompt": "no " * 80},
        {"prompt": ("word " * 75).strip(), "negative_prompt": ("no " * 75).strip()},
        [
            "clamped: prompt: 76 words, of which the provider reads 75",
            "clamped: negative_prompt: 80 words, of which the provider reads 75",
        ],
    ),
    (FLUX, {"prompt": "word " * 76, "width": 1280}, {"width": 1280, "prompt": "word " * 76}, []),
]


@pytest.mark.parametrize(("model", "asked", "expected", "notes"), DASHSCOPE)
def test_dashscope_s_limits_are_its_own(
    model: str, asked: dict[str, Any], expected: dict[str, Any], notes: list[str]
) -> None:
    """Sizes, defaults and the 75 words, applied as the provider applies them."""
    request = drawn(provider="dashscope", **{**asked, "model": model})

    assert expected == {name: getattr(request, name) for name in expected}
    assert notes == noted(request)


# Names asked for, what is drawn with them, notes.
LORAS: list[tuple[str | None, str | None, dict[str, float], list[str]]] = [
    ("more_details", None, {"more_details": 1.0}, []),
    ("more_details,animie", "0.5,0.7", {"more_details": 0.5, "animie": 0.7}, []),
    ("more_details,animie", "0.5", {"more_details": 0.5, "animie": 0.5}, []),
    (
        "a,more_details,animie",
        "0.5,0.7",
        {"more_details": 0.7, "animie": 1.0},
        ["missing: lora_strengths: 2 for 3 LoRAs: 1 is taken", "missing: loras: a is not "],
    ),
    ("unknown,animie", "0.5,0.7", {"animie": 0.7}, ["missing: loras: unknown is not among the "]),
    ("animie", "9", {"animie": 4.0}, ["clamped: lora_strengths: 9 is drawn as 4"]),
    ("animie", "much", {"animie": 1.0}, ["ignored: lora_strengths: much is no number: 1 is "]),
    ("animie", "0.1,0.2", {"animie": 0.1}, ["ignored: lora_strengths: 2 for 1 LoRAs"]),
    ("animie,Animie", None, {"animie": 1.0}, ["ignored: loras: Animie is asked for twice"]),
    (None, "0.5", {}, ["ignored: lora_strengths: 1 for 0 LoRAs"]),
    (
        "animie," * 10_000,
        "1," * 10_000,
        {"animie": 1.0},
        ["clamped: loras: 10000 are asked for", *["ignored: loras: animie is asked"] * 15],
    ),
    ("none", None, {}, []),
]


@pytest.mark.parametrize(("names", "strengths", "expected", "notes"), LORAS)
def test_loras_keep_their_strengths(
    names: str | None, strengths: str | None, expected: dict[str, float], notes: list[str]
) -> None:
    """Several LoRAs, each with its own strength, of those that the checkpoint's table has."""
    request = drawn(loras=names, lora_strengths=strengths)

    assert expected == {lora.name: lora.strength for lora in request.loras}
    assert len(notes) == len(noted(request))
    assert all(said.startswith(note) for note, said in zip(notes, noted(request), strict=True))


def test_names_stand_for_the_files_of_the_table() -> None:
    """A LoRA, an embedding and a VAE are where the operator says, never where a request does."""
    request = drawn(
        prompt="a cat, easyneg",
        loras="ANIMIE",
        embeddings="easyneg",
        vae="stabilityai/sd-vae-ft-mse",
    )

    assert (Lora(name="ANIMIE", path="/loras/a.safetensors", strength=1.0),) == request.loras
    assert (Part(name="easyneg", path="/embeddings/easyneg.safetensors"),) == request.embeddings
    assert Part(name="stabilityai/sd-vae-ft-mse", path="/vaes/mse") == request.vae
    assert noted(request) == []


@pytest.mark.parametrize(
    ("asked", "note"),
    [
        ({"embeddings": "easyneg"}, "ignored: embeddings: easyneg stands in neither prompt"),
        (
            {"embeddings": "../../etc/passwd"},
            "missing: embeddings: ../../etc/passwd is not among the checkpoint's embeddings",
        ),
        ({"embeddings": "easyneg", "model": FLUX}, "ignored: embeddings: flux takes none"),
        (
            {"vae": "other"},
            "missing: vae: other is not among the checkpoint's vaes; its own is used",
        ),
    ],
)
def test_what_would_have_no_effect_is_noted(asked: dict[str, Any], note: str) -> None:
    """An embedding that no word calls, and a name that stands for nothing."""
    request = drawn(**asked)

    assert [note] == noted(request)
    assert (request.embeddings, request.vae) == ((), None)


def test_a_seed_that_nobody_knows_is_the_one_given() -> None:
    """Chance comes from outside, and the note says that the picture is not the provider's."""
    for seed in (None, -1):
        request = drawn(seed=seed)

        assert request.seed == RANDOM_SEED
        assert [note.kind for note in request.notes if note.name == "seed"] == ["missing"]


@pytest.mark.parametrize(
    ("asked", "source", "notes"),
    [
        ({"model": SD15}, "sd15", []),
        ({"model": "runwayml/stable-diffusion-v1-5"}, "sd15", []),
        ({"model": " Stable-Diffusion-XL "}, "stabilityai", []),
        ({"model": "flux-pro"}, "flux", ["substituted: model: flux-pro is drawn with flux"]),
        (
            {"model": None, "version": "flux-pro-1.1", "service": "flux-pro"},
            "flux",
            ["substituted: version: flux-pro-1.1 is drawn with flux"],
        ),
        ({"model": None, "version": "sd-2.1", "service": "stable-diffusion"}, "sd21", []),
        (
            {"model": None, "service": "flux-pro"},
            "flux",
            ["substituted: model: flux-pro is drawn with flux"],
        ),
        ({"model": "animagine-xl"}, "stabilityai", ["substituted: model: animagine-xl is drawn "]),
        ({"model": None}, "stabilityai", ["missing: model: nobody has heard it: stabilityai/"]),
    ],
)
def test_a_stand_in_says_so(asked: dict[str, Any], source: str, notes: list[str]) -> None:
    """The weights asked for are used in silence, any others with a note."""
    request = drawn(**asked)

    assert request.checkpoint.source.startswith(source)
    assert len(notes) == len(noted(request))
    assert all(said.startswith(note) for note, said in zip(notes, noted(request), strict=True))


def test_random_weights_say_so() -> None:
    """A demonstration passes for nothing else."""
    tiny = {"tiny": True, "family": "sd15", "models": [SD15], "path": "/models/tiny"}

    request = drawn(table=from_tree({"tiny": tiny}))

    assert noted(request) == ["substituted: model: the weights are random: this only demonstrates"]


def test_a_checkpoint_has_defaults_of_its_own() -> None:
    """Distilled weights want fewer steps than their family."""
    schnell = {**TREE["flux"], "steps": 4, "guidance_scale": 0.0}
    table = from_tree({"schnell": schnell})

    request = drawn(table=table, model="flux-dev")

    assert (request.steps, request.guidance_scale) == (4, 0.0)
    assert drawn(table=table, model="flux-dev", steps=12).steps == 12


def test_pictures_are_drawn_from_the_archived_ones() -> None:
    """Image-to-image and inpainting, with the strength as asked or the usual one."""
    image = drawn(task="image-to-image", pictures=(INIT,), strength=0.6)
    paint = drawn(task="inpainting", pictures=(MASK, INIT))

    assert (INIT.blob_key, None, 0.6) == (image.init_image, image.mask_image, image.strength)
    assert (INIT.blob_key, MASK.blob_key) == (paint.init_image, paint.mask_image)
    assert noted(paint) == ["missing: strength: nobody has heard it: 1 is taken"]


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 49, 50])
def test_a_strength_leaves_a_step_to_draw(steps: int) -> None:
    """A strength so small that nothing would be drawn is raised, with a note."""
    request = drawn(task="image-to-image", pictures=(INIT,), strength=0.0, steps=steps)

    assert request.strength is not None
    assert int(request.steps * request.strength) == 1
    assert [note.kind for note in request.notes if note.name == "strength"] == ["clamped"]
    assert drawn(task="image-to-image", pictures=(INIT,), steps=1).strength == 1.0


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "nobody has heard its prompt"),
    ({"prompt": "  "}, "nobody has heard its prompt"),
    (
        {"prompt": "(" * 100_001},
        "its prompt has 100,001 characters, which nothing here draws",
    ),
    ({"loras": "x," * 60_000}, "its loras has 120,000 characters, which nothing here draws"),
    ({"task": "controlnet"}, "there is no pipeline here for controlnet"),
    ({"task": "video-generation"}, "there is no pipeline here for video-generation"),
    ({"task": "image-to-image"}, "its init_image is not in the archive"),
    ({"task": "image-to-image", "pictures": (LOST,)}, "its init_image is not in the archive"),
    ({"task": "inpainting", "pictures": (INIT,)}, "its mask_image is not in the archive"),
    (
        {"pictures": (INIT,)},
        "there is no pipeline here for text-to-image with init_image",
    ),
    (
        {"task": "image-to-image", "pictures": (INIT, CONTROL)},
        "there is no pipeline here for image-to-image with control_image",
    ),
    (
        {"task": "image-to-image", "pictures": (INIT, GARMENT)},
        "there is no pipeline here for image-to-image with another base_image_url",
    ),
    (
        {"task": None, "pictures": (INIT,)},
        "it names pictures, but nobody has heard what is to be done with them",
    ),
    (
        {"task": None, "model": None, "service": "video-pro"},
        "no checkpoint draws video-pro: add it to models in one of [render.checkpoints.…]",
    ),
    (
        {"task": "image-to-image", "pictures": (GARMENT,), "model": "wanx2.1-imageedit"},
        "no checkpoint draws wanx2.1-imageedit: add it to models in one of [render.checkpoints.…]",
    ),
    (
        {"task": "https://host/a?signature=secret"},
        "there is no pipeline here for https://host/a?…",
    ),
]


@pytest.mark.parametrize(("asked", "reason"), REFUSED)
def test_what_has_no_pipeline_is_never_drawn_as_something_else(
    asked: dict[str, Any], reason: str
) -> None:
    """A request that would come out as another one is refused, in words without secrets."""
    assert NotRenderable(reason=reason) == plan(**asked)


def test_a_note_keeps_secrets_to_itself() -> None:
    """A name that is a link is quoted without its query."""
    request = drawn(vae="https://host/vae?Signature=hush")

    assert "https://host/vae?…" in noted(request)[0]
    assert "hush" not in str(request.notes)


def test_a_generation_says_what_its_slots_were_asked_to_be() -> None:
    """Its parameters, the place of the slot, and the pictures that it named, if archived."""
    asset = Asset(
        origin=Origin.PROVIDER,
        sha256=b"\0" * 32,
        blob_key="blobs/sha256/00/00.png",
        size_bytes=1,
        media_type="image/png",
        width=1,
        height=1,
        archived_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    wanted = Slot(index=2)
    generation = Generation(
        provider="modelslab",
        id="1",
        service="text2img",
        params=GenerationParams(prompt="a cat"),
        first_heard_at=datetime(2026, 1, 1, tzinfo=UTC),
        slots=(
            Slot(index=-2, role="init_image", assets=(asset,)),
            Slot(index=-1, role="mask_image"),
            Slot(index=-3, role="video", assets=(replace(asset, media_type="video/mp4"),)),
            wanted,
        ),
    )

    asked = asked_of(generation, wanted)

    assert (asked.provider, asked.service, asked.index) == ("modelslab", "text2img", 2)
    assert generation.params == asked.params
    assert (
        Picture(role="init_image", blob_key="blobs/sha256/00/00.png"),
        Picture(role="mask_image", blob_key=None),
        Picture(role="video", blob_key=None),
    ) == asked.pictures
