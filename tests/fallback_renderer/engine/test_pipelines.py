"""Pipelines for special wishes, over parts that are loaded once."""

from __future__ import annotations

from contextlib import ExitStack
from io import BytesIO

import pytest
import torch
from PIL import Image

from fallback_renderer.engine.pipelines import pipeline_for
from fallback_renderer.engine.quiet import hushed
from tests.fallback_renderer import bare
from tests.fallback_renderer.requests import INIT, MASK

TOLD = {"prompt": "a photo of a cat", "num_inference_steps": 2, "guidance_scale": 4.0}
STEMS = {"sd15": "StableDiffusion", "sd21": "StableDiffusion", "sdxl": "StableDiffusionXL"}
PANORAMA = {"panorama": True, "width": 576, "height": 64}


@pytest.mark.parametrize("model", ["sd15", "sd21", "sdxl"])
def test_attention_is_perturbed_as_diffusers_perturbs_it(model, ask, engine, zoo) -> None:
    """And left alone again by the next picture."""
    request = ask(model, prompt=TOLD["prompt"], steps=2, guidance_scale=4.0)
    before = engine.draw(request)
    pipe = bare.pipeline(f"{STEMS[model]}PAGPipeline", zoo / model)

    expected = bare.draw(pipe, seed=7, width=64, height=64, **TOLD)

    perturbed = ask(model, prompt=TOLD["prompt"], steps=2, guidance_scale=4.0, self_attention=True)
    picture = engine.draw(perturbed)
    assert expected.tobytes() == bare.pixels(picture.png)
    assert picture.png != before.png
    assert engine.draw(request).png == before.png


@pytest.mark.parametrize("model", ["sd15", "sd21"])
def test_a_panorama_is_drawn_as_diffusers_draws_it(model, ask, engine, zoo) -> None:
    """Through windows, which a plain drawing of that size is not."""
    asked = {**PANORAMA, "prompt": TOLD["prompt"], "steps": 2, "guidance_scale": 4.0}
    pipe = bare.pipeline("StableDiffusionPanoramaPipeline", zoo / model)

    expected = bare.draw(pipe, seed=7, width=576, height=64, **TOLD)

    panorama, plain = engine.draw(ask(model, **asked)), ask(model, **{**asked, "panorama": False})
    assert expected.tobytes() == bare.pixels(panorama.png)
    assert panorama.png != engine.draw(plain).png


def test_no_part_of_a_panorama_is_left_undrawn(ask, engine) -> None:
    """Windows are 64 pixels apart: what lies beyond the last is cropped off, never shown."""
    whole, corner = (ask(**{**PANORAMA, "width": width}, steps=2) for width in (640, 580))

    picture = engine.draw(corner)

    with Image.open(BytesIO(engine.draw(whole).png)) as image:
        expected = image.crop((0, 0, 580, 64)).tobytes()
    assert corner.canvas == (640, 64)
    assert expected == bare.pixels(picture.png)


@pytest.mark.parametrize("name", ["EulerAncestral", "LMSDiscrete", "UniPC", "PNDM"])
def test_special_wishes_go_with_any_scheduler(name, ask, engine) -> None:
    """Those that remember earlier steps among them."""
    for wish in (PANORAMA, {"self_attention": True}):
        first, again = (engine.draw(ask(**wish, scheduler=name, steps=2)) for _ in range(2))

        assert first.png == again.png


@pytest.mark.parametrize("model", ["sd15", "sdxl", "flux", "sd3"])
@pytest.mark.parametrize(
    "asked",
    [
        {"task": "image-to-image", "pictures": (INIT,)},
        {"task": "inpainting", "pictures": (INIT, MASK)},
        {"self_attention": True},
    ],
)
def test_weights_are_never_held_twice(model, asked, ask, zoo) -> None:
    """Other pipelines have the very same parts, in the numbers that they were loaded in."""
    pipe = bare.pipeline.__wrapped__(
        f"{({'flux': 'Flux', 'sd3': 'StableDiffusion3'} | STEMS)[model]}Pipeline",
        zoo / model,
        dtype=torch.bfloat16,
    )
    parts = {name: part for name, part in pipe.components.items() if part is not None}

    with hushed(), ExitStack() as stack:
        other = pipeline_for(ask(model, **asked), pipe, stack)

        assert {name: id(other.components[name]) for name in parts} == {
            name: id(part) for name, part in parts.items()
        }
    assert pipe.dtype is torch.bfloat16


def test_what_draws_already_is_not_made_again(ask, zoo) -> None:
    """From words, the loaded pipeline itself draws."""
    pipe = bare.pipeline("StableDiffusionPipeline", zoo / "sd15")

    assert pipeline_for(ask(), pipe, ExitStack()) is pipe
