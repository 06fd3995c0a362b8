"""One request, one picture: the pipeline's own, bit for bit, and always the same."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from fallback_renderer.engine import CheckpointError
from tests.fallback_renderer import bare
from tests.fallback_renderer.requests import INIT, MASK
from tests.fallback_renderer.zoo import FAMILIES

STEMS = {
    "sd15": "StableDiffusion",
    "sd21": "StableDiffusion",
    "sdxl": "StableDiffusionXL",
    "flux": "Flux",
    "sd3": "StableDiffusion3",
}
PROMPT = "a photo of a cat, best quality"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """The files of a picture and of a mask, of the size that is drawn."""
    folder, noise = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    init, mask = folder / "init.png", folder / "mask.png"
    Image.fromarray(noise.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(init)
    Image.fromarray(noise.integers(0, 2, (64, 64), dtype=np.uint8) * 255).save(mask)
    return init, mask


def told(model, **given):
    """What a pipeline is told, with a negative prompt where it takes one."""
    negative = {} if model == "flux" else {"negative_prompt": "blurry"}
    return {"prompt": PROMPT, "num_inference_steps": 2, "guidance_scale": 4.0, **negative, **given}


@pytest.mark.parametrize("model", FAMILIES)
def test_a_picture_is_the_pipeline_s_own(model, ask, engine, zoo) -> None:
    """Every family from words, as diffusers alone would draw it."""
    request = ask(model, prompt=PROMPT, negative_prompt="blurry", guidance_scale=4.0)
    pipe = bare.pipeline(f"{STEMS[model]}Pipeline", zoo / model)

    expected = bare.draw(pipe, seed=7, **told(model, width=64, height=64))

    assert expected.tobytes() == bare.pixels(engine.draw(request).png)


@pytest.mark.parametrize("model", FAMILIES)
def test_a_picture_from_a_picture_is_too(model, ask, engine, zoo, pictures) -> None:
    """Image-to-image over the same weights as text-to-image."""
    init, _ = pictures
    asked = {"task": "image-to-image", "pictures": (INIT,), "strength": 0.7}
    request = ask(model, prompt=PROMPT, negative_prompt="blurry", guidance_scale=4.0, **asked)
    pipe = bare.pipeline(f"{STEMS[model]}Img2ImgPipeline", zoo / model)
    size = {"width": 64, "height": 64} if request.checkpoint.family.flows else {}

    expected = bare.draw(pipe, seed=7, **told(model, image=Image.open(init), strength=0.7, **size))

    assert expected.tobytes() == bare.pixels(engine.draw(request, init_image=init).png)


@pytest.mark.parametrize("model", FAMILIES)
def test_so_is_one_within_a_mask(model, ask, engine, zoo, pictures) -> None:
    """Inpainting, where the mask is white."""
    init, mask = pictures
    asked = {"task": "inpainting", "pictures": (INIT, MASK), "strength": 1.0}
    request = ask(model, prompt=PROMPT, negative_prompt="blurry", guidance_scale=4.0, **asked)
    pipe = bare.pipeline(f"{STEMS[model]}InpaintPipeline", zoo / model)
    size = {"width": 64, "height": 64, "strength": 1.0}

    expected = bare.draw(
        pipe,
        seed=7,
        **told(model, image=Image.open(init), mask_image=Image.open(mask), **size),
    )

    picture = engine.draw(request, init_image=init, mask_image=mask)
    assert expected.tobytes() == bare.pixels(picture.png)


@pytest.mark.parametrize("model", FAMILIES)
def test_the_same_request_is_the_same_bytes(model, ask, engine) -> None:
    """And another seed is another picture."""
    first, again, other = (engine.draw(ask(model, seed=seed)).png for seed in (7, 7, 8))

    assert first == again
    assert first != other


@pytest.mark.parametrize("seed", [0, 2**63, 2**64 - 1])
def test_any_seed_of_64_bits_draws(seed, ask, engine, zoo) -> None:
    """As torch counts them: none is cut, none is taken for another."""
    pipe = bare.pipeline("StableDiffusionPipeline", zoo / "sd15")

    expected = bare.draw(pipe, seed=seed, **told("sd15", width=64, height=64))

    request = ask(prompt=PROMPT, negative_prompt="blurry", guidance_scale=4.0, seed=seed)
    assert expected.tobytes() == bare.pixels(engine.draw(request).png)


@pytest.mark.parametrize("model", ["sd15", "flux"])
def test_what_the_canvas_has_more_is_cropped(model, ask, engine) -> None:
    """A size that no VAE can divide is the corner of one that it can."""
    whole, corner = ask(model, width=80, height=64), ask(model, width=75, height=64)

    with Image.open(BytesIO(engine.draw(whole).png)) as image:
        expected = image.crop((0, 0, 75, 64)).tobytes()
    picture = engine.draw(corner)

    assert (picture.width, picture.height) == (75, 64)
    assert expected == bare.pixels(picture.png)


def test_doubling_doubles(ask, engine) -> None:
    """Twice the size, by Lanczos, after cropping."""
    picture = engine.draw(ask(width=68, height=64, upscale=True))

    with Image.open(BytesIO(engine.draw(ask(width=68, height=64)).png)) as image:
        expected = image.resize((136, 128), Image.Resampling.LANCZOS).tobytes()

    assert (picture.width, picture.height) == (136, 128)
    assert expected == bare.pixels(picture.png)


@pytest.mark.parametrize("model", FAMILIES)
def test_each_step_is_reported(model, ask, engine) -> None:
    """How many are done, and of how many; none, once the checkpoint is loaded."""
    steps: list[tuple[int, int]] = []

    engine.draw(ask(model, scheduler="DDIM"), step=lambda *done: steps.append(done))

    assert steps == [(0, 2), (1, 2), (2, 2)]


def test_a_black_picture_is_no_picture(ask, engine) -> None:
    """Numbers that overflow come to black without an error; that is not what was asked for."""
    with pytest.raises(CheckpointError, match="overflowing drew nothing but black"):
        engine.draw(ask("overflowing"))


def test_guidance_that_a_checkpoint_does_not_hear_is_noted(ask, engine) -> None:
    """FLUX.1-schnell's kind takes a scale and does nothing with it."""
    loud, quiet = (engine.draw(ask("schnell", guidance_scale=scale)) for scale in (5.0, 0.0))

    assert loud.png == quiet.png
    assert [str(note) for note in loud.notes] == [
        "ignored: guidance_scale: it is distilled into this checkpoint"
    ]
    assert quiet.notes == ()
