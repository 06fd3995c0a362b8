"""LoRAs, VAEs and merged tokens: put on as diffusers puts them on, and off without a trace."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import diffusers
import pytest
import tomesd
import torch
from safetensors.torch import load_file, save_file

from fallback_renderer.engine import adapters
from fallback_renderer.engine.devices import choose
from fallback_renderer.engine.loading import load
from fallback_renderer.engine.quiet import hushed
from fallback_renderer.request import Lora
from fallback_renderer.settings import Engine as Settings
from tests.fallback_renderer import bare

TOLD = {
    "prompt": "a photo of a cat",
    "width": 64,
    "height": 64,
    "num_inference_steps": 2,
    "guidance_scale": 4.0,
}
CLASSES = {
    "sd15": "StableDiffusionPipeline",
    "sd21": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "flux": "FluxPipeline",
    "sd3": "StableDiffusion3Pipeline",
}
# Which of the zoo's LoRAs fit nothing of a checkpoint; some raise, some would do nothing.
FOREIGN = [
    ("sd15", "sdxl_a"),
    ("sd15", "flux_a"),
    ("sdxl", "sd15_a"),
    ("sdxl", "flux_a"),
    ("sdxl", "sd3_a"),
    ("flux", "sd15_a"),
    ("flux", "sd3_a"),
    ("sd3", "flux_a"),
]


@pytest.fixture
def small(ask):
    """Plans what `TOLD` says, and more."""

    def plan(model, **asked):
        return ask(model, prompt=TOLD["prompt"], guidance_scale=4.0, **asked)

    return plan


def notes_of(picture):
    """The notes in words."""
    return [str(note) for note in picture.notes]


@pytest.mark.parametrize("model", ["sd15", "sdxl", "flux", "sd3"])
def test_loras_are_mixed_as_diffusers_mixes_them(model, small, engine, zoo) -> None:
    """Two of them, each with its strength; the next picture shows nothing of them."""
    before = engine.draw(small(model))
    pipe = bare.pipeline.__wrapped__(CLASSES[model], zoo / model)
    with hushed():
        for name in "ab":
            file = f"{model}_{name}.safetensors"
            pipe.load_lora_weights(zoo / "loras", weight_name=file, adapter_name=name)
        pipe.set_adapters(["a", "b"], adapter_weights=[0.8, -0.5])

    expected = bare.draw(pipe, seed=7, **TOLD)

    mixed = small(model, loras=f"{model}_a,{model}_b", lora_strengths="0.8,-0.5")
    picture = engine.draw(mixed)
    assert expected.tobytes() == bare.pixels(picture.png)
    assert notes_of(picture) == []
    assert picture.png != before.png
    assert engine.draw(small(model)).png == before.png


def test_a_lora_as_trainers_write_it_is_the_same(small, engine) -> None:
    """In the names of kohya's scripts, in which most are passed around."""
    ours, theirs = (engine.draw(small("sd15", loras=f"sd15_{kind}")) for kind in ("a", "kohya"))

    assert ours.png == theirs.png
    assert notes_of(theirs) == []


@pytest.mark.parametrize(("model", "lora"), FOREIGN)
def test_a_lora_of_another_family_is_noted(model, lora, small, engine) -> None:
    """Whether diffusers raises, or passes over every layer without a word."""
    picture = engine.draw(small(model, loras=lora))

    assert notes_of(picture) == [f"ignored: loras: {lora} does not fit this checkpoint"]
    assert picture.png == engine.draw(small(model)).png


def test_one_that_does_not_fit_leaves_the_others_alone(small, engine) -> None:
    """Nothing of it is mixed in, wherever it stood."""
    alone = engine.draw(small("sd15", loras="sd15_a", lora_strengths="0.7"))
    among = small("sd15", loras="sdxl_a,sd15_a,gone", lora_strengths="1,0.7,1")

    picture = engine.draw(among)

    assert picture.png == alone.png
    assert notes_of(picture) == [
        "ignored: loras: sdxl_a does not fit this checkpoint",
        "missing: loras: gone cannot be read on this machine",
    ]


@pytest.mark.parametrize("field", ["loras", "vae"])
@pytest.mark.parametrize("damage", ["absent", "empty", "garbage", "a folder"])
def test_a_file_that_cannot_be_read_is_noted(field, damage, small, engine, zoo) -> None:
    """The picture is drawn without it, and the note does not say where it should have been."""
    file = zoo / "gone.safetensors"
    if damage == "a folder":
        file.mkdir()
    elif damage != "absent":
        file.write_bytes(b"" if damage == "empty" else b"\x10" + b"\0" * 7 + b"garbage" * 9)

    picture = engine.draw(small("sd15", **{field: "gone"}))

    if file.is_dir():
        file.rmdir()
    file.unlink(missing_ok=True)
    assert notes_of(picture) == [f"missing: {field}: gone cannot be read on this machine"]
    assert picture.png == engine.draw(small("sd15")).png


@pytest.mark.parametrize("kind", ["other", "file", "ldm"])
@pytest.mark.parametrize("model", ["sd15", "sdxl"])
def test_a_vae_is_swapped_and_swapped_back(model, kind, small, engine, zoo) -> None:
    """A folder of diffusers', a file of it, or a file from before it: the same picture."""
    before = engine.draw(small(model))
    vae = diffusers.AutoencoderKL.from_pretrained(str(zoo / "vaes" / "other"))
    if kind != "other":  # a file says nothing of its scale, so the checkpoint's own holds
        own = bare.pipeline(CLASSES[model], zoo / model).vae.config
        vae.register_to_config(scaling_factor=own.scaling_factor)
    pipe = bare.pipeline.__wrapped__(CLASSES[model], zoo / model, vae=vae)

    expected = bare.draw(pipe, seed=7, **TOLD)

    picture = engine.draw(small(model, vae=kind))
    assert expected.tobytes() == bare.pixels(picture.png)
    assert notes_of(picture) == []
    assert picture.png != before.png
    assert engine.draw(small(model)).png == before.png


@pytest.mark.parametrize(("model", "vae"), [("sd15", "eight"), ("flux", "other"), ("sd3", "ldm")])
def test_a_vae_of_other_latents_is_not_used(model, vae, small, engine) -> None:
    """Four channels are not sixteen, and would come to noise, or to an error."""
    picture = engine.draw(small(model, vae=vae))

    assert notes_of(picture) == [f"ignored: vae: {vae} does not fit this checkpoint"]
    assert picture.png == engine.draw(small(model)).png


@pytest.mark.parametrize("model", ["sd15", "sd21", "sdxl"])
def test_tokens_are_merged_the_same_way_twice(model, small, engine, zoo) -> None:
    """Which ones is chance, but the request's own; and afterwards none are."""
    before = engine.draw(small(model))
    pipe = bare.pipeline.__wrapped__(CLASSES[model], zoo / model)
    tomesd.apply_patch(pipe, ratio=0.5, max_downsample=2 if model == "sdxl" else 1)
    torch.manual_seed(7)

    expected = bare.draw(pipe, seed=7, **TOLD)

    merged = [engine.draw(small(model, tomesd=True)) for _ in range(2)]
    assert expected.tobytes() == bare.pixels(merged[0].png)
    assert merged[0].png == merged[1].png != before.png
    assert engine.draw(small(model)).png == before.png


def test_where_tokens_cannot_be_merged_that_is_noted(small, engine, monkeypatch) -> None:
    """The package is optional; without it the picture is a plain one."""
    monkeypatch.setattr(adapters, "tomesd", None)

    picture = engine.draw(small("sd15", tomesd=True))

    assert notes_of(picture) == [
        "unavailable: tomesd: it is not installed here: no tokens are merged"
    ]
    assert picture.png == engine.draw(small("sd15")).png


@pytest.mark.parametrize("model", ["sd15", "flux"])
def test_a_lora_of_zeros_is_noted(model, ask, engine, zoo, tmp_path) -> None:
    """It would be taken for one that was honoured."""
    tensors = load_file(zoo / "loras" / f"{model}_a.safetensors")
    zeros = {name: it * (0 if "lora_B" in name else 1) for name, it in tensors.items()}
    save_file(zeros, tmp_path / "zeros.safetensors")
    plain = ask(model)
    lora = Lora(name="zeros", path=str(tmp_path / "zeros.safetensors"), strength=1.0)

    picture = engine.draw(replace(plain, loras=(lora,)))

    assert picture.png == engine.draw(plain).png
    (note,) = notes_of(picture)
    assert note == "ignored: loras: zeros changes nothing: it is all zeros"


def test_on_compiled_blocks_no_tokens_are_merged(ask, zoo) -> None:
    """It is said, and the picture drawn without."""
    request = ask("sd15", tomesd=True)
    model = load(zoo / "sd15", request.checkpoint, choose(Settings(device="cpu", threads=1)))
    with ExitStack() as stack:
        (note,) = adapters.put_on(replace(model, compiled=True), request, stack)

    assert str(note).startswith("unavailable: tomesd: ")
