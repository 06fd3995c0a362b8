"""Checkpoints from folders and from the hub's cache, and why one cannot be loaded."""

from __future__ import annotations

import dataclasses
import json
import shutil

import huggingface_hub
import msgspec
import pytest
import torch
from safetensors.torch import load_file

from fallback_renderer.checkpoints import Checkpoint, Family
from fallback_renderer.engine import CheckpointError
from fallback_renderer.engine.devices import Device
from fallback_renderer.engine.drawing import draw
from fallback_renderer.engine.loading import compile_blocks, load, locate, place, weigh
from fallback_renderer.engine.quiet import hushed
from tests.fallback_renderer.requests import COMMIT
from tests.fallback_renderer.zoo import FAMILIES

CPU = Device(name="cpu", description="cpu", memory_bytes=2**30)


@pytest.fixture(autouse=True)
def _hushed():
    with hushed():
        yield


def at(path, family="sd15", **said):
    """A checkpoint in a folder."""
    return Checkpoint(family=Family(family), path=str(path), default=True, **said)


def opened(checkpoint, device=CPU):
    """The checkpoint, located and loaded."""
    return load(locate(checkpoint), checkpoint, device)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_weighed_before_they_are_loaded(family, zoo) -> None:
    """Within a few percent: what is no weight (a table of positions) is not in the files."""
    checkpoint = at(zoo / family, family)

    expected = opened(checkpoint).size_bytes

    assert weigh(zoo / family, checkpoint, torch.float32) == pytest.approx(expected, rel=0.05)
    assert weigh(zoo / family, checkpoint, torch.bfloat16) * 2 == pytest.approx(expected, rel=0.05)


def test_a_variant_is_loaded_and_weighed_alone(zoo, tmp_path) -> None:
    """Both may lie in the same folders, half and whole."""
    shutil.copytree(zoo / "sd15", tmp_path / "both")
    pipe = opened(at(zoo / "sd15")).pipe.to(torch.float16)
    pipe.save_pretrained(tmp_path / "both", variant="fp16")
    checkpoint = at(tmp_path / "both", variant="fp16")

    model = opened(checkpoint)

    half = load_file(tmp_path / "both" / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    assert torch.equal(model.pipe.unet.state_dict()["conv_in.bias"], half["conv_in.bias"].float())
    assert weigh(tmp_path / "both", checkpoint, torch.float32) == weigh(
        zoo / "sd15", at(zoo / "sd15"), torch.float32
    )


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_weights_in_several_files_weigh_as_much(variant, zoo, tmp_path) -> None:
    """Whether they are all there is, or a variant beside the others."""
    pipe, folder = opened(at(zoo / "sd15")).pipe, tmp_path / "split"
    pipe.save_pretrained(folder, variant=variant, max_shard_size="500KB")
    assert [*folder.glob("unet/*-00001-of-*")]

    assert weigh(folder, at(folder, variant=variant), torch.float32) == weigh(
        zoo / "sd15", at(zoo / "sd15"), torch.float32
    )


@pytest.mark.parametrize(
    ("model", "compiles"),
    [("sd15", True), ("sd21", True), ("sdxl", True), ("flux", True), ("sd3", False)],
)
def test_what_repeats_no_blocks_is_not_compiled(model, compiles, zoo) -> None:
    """Nor refused for that; whatever is compiled is only when it is first used."""
    assert compile_blocks(opened(at(zoo / model, family=model)).pipe) is compiles


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("auto", torch.float32),
        ("float32", torch.float32),
        ("float16", torch.float32),
        ("bfloat16", torch.bfloat16),
    ],
)
def test_a_processor_draws_in_whole_numbers(dtype, expected, zoo) -> None:
    """Or in bfloat16 where the table says so; half ones would overflow, or crawl."""
    assert opened(at(zoo / "sd15", dtype=dtype)).pipe.dtype is expected


def test_the_checker_is_taken_out(zoo) -> None:
    """The pipeline would blacken what it flags."""
    model = opened(at(zoo / "flagging"))

    assert model.pipe.safety_checker is None
    assert model.checker is not None
    assert opened(at(zoo / "sd15")).checker is None


def test_from_the_hub_what_is_here_is_taken_from_here(zoo, tmp_path, monkeypatch) -> None:
    """The cache of the hub's own client, at the commit that the table pins; nobody is asked."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--somebody--sd15" / "snapshots" / COMMIT
    shutil.copytree(zoo / "sd15", snapshot)
    checkpoint = Checkpoint(family=Family.SD15, hub="somebody/sd15", revision=COMMIT, default=True)

    assert locate(checkpoint) == snapshot
    assert opened(checkpoint).pipe.unet is not None


def test_what_is_not_here_and_may_not_be_fetched_says_what_to_type(tmp_path, monkeypatch) -> None:
    """HF_HUB_OFFLINE forbids it, here as anywhere."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    checkpoint = Checkpoint(family=Family.SD15, hub="somebody/sd15", revision=COMMIT, default=True)

    with pytest.raises(CheckpointError, match=f"hf download somebody/sd15 --revision {COMMIT}"):
        locate(checkpoint)


def _without(*names):
    def damage(folder):
        for name in names:
            (folder / name).unlink()

    return damage


def _pickled(folder):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()


def _cut_off(folder):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def _of_another_shape(folder):
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"block_out_channels": [8, 16]}))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_without("model_index.json"), "there is no checkpoint in .*: it has no model_index.json"),
        (_without("unet/diffusion_pytorch_model.safetensors"), "cannot be loaded as sd15: "),
        (_without("tokenizer/tokenizer.json"), "as sd15: its tokenizer knows . of 514 tokens"),
        (_pickled, "cannot be loaded as sd15: .*must be as diffusers saves it, with .safetensors"),
        (_cut_off, "cannot be loaded as sd15: "),
        (_of_another_shape, "cannot be loaded as sd15: "),
    ],
)
def test_a_damaged_checkpoint_is_the_operator_s_to_mend(damage, reason, zoo, tmp_path) -> None:
    """Each in a sentence that says where to look; pickled weights are never opened."""
    shutil.copytree(zoo / "sd15", tmp_path / "damaged")
    damage(tmp_path / "damaged")

    with pytest.raises(CheckpointError, match=reason):
        opened(at(tmp_path / "damaged"))


@pytest.mark.parametrize(("family", "other"), [("sd15", "sdxl"), ("sdxl", "sd15"), ("flux", "sd3")])
def test_a_checkpoint_of_another_family_is_too(family, other, zoo) -> None:
    """It might load and draw noise."""
    with pytest.raises(CheckpointError, match=f"{other} cannot be loaded as {family}: it is made"):
        opened(at(zoo / other, family))


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"vae": "other"},
        {"clip_skip": 2},
        {"self_attention": True},
        {"safety_checker": True},
    ],
)
def test_parts_that_take_turns_draw_the_same(asked, ask, engine, zoo) -> None:
    """For checkpoints larger than a GPU: each part is where it draws only while it does.

    Without LoRAs, for diffusers puts parts in turn again after them on a GPU only.
    """
    model = opened(at(zoo / "clean"))
    place(model.pipe, CPU, offloaded=True)
    model = dataclasses.replace(model, offloaded=True)
    request = ask("clean", **asked)

    for one in (request, ask("clean"), request):
        picture = draw(model, one, init_image=None, mask_image=None, step=lambda *_: None)

        assert picture == engine.draw(one)
    assert model.pipe._all_hooks


def test_a_checkpoint_travels_with_its_request(ask) -> None:
    """Whatever the engine needs of it is in the values that come from the parent process."""
    request = ask()

    assert msgspec.convert(msgspec.to_builtins(request), type(request)) == request
