"""The engine as its caller knows it: what it leaves behind, and what it says when it fails."""

from __future__ import annotations

from importlib.metadata import version

import pytest
import torch
from PIL import Image

from fallback_renderer.engine import Engine, OutOfMemoryError, PictureError
from fallback_renderer.settings import Engine as Settings
from tests.fallback_renderer.requests import INIT, MASK


class Canceled(Exception):  # noqa: N818 - what a caller's is called
    """What whoever waits for the picture raises when it is no longer wanted."""


def after(steps, error):
    """A report of steps that raises once there are more than that many."""

    def step(done, _total):
        if done > steps:
            raise error

    return step


# Everything that is put on a checkpoint or changed in it, for one picture.
ALTERING = {
    "nothing": {},
    "scheduler": {"scheduler": "DPMSolverMultistep", "karras_sigmas": True},
    "loras": {"loras": "{model}_a,{model}_b"},
    "vae": {"vae": "other"},
    "embeddings": {"prompt": "a {embedding}", "embeddings": "{embedding}"},
    "clip_skip": {"clip_skip": 2, "prompt": "a (cat:1.5)"},
    "tomesd": {"tomesd": True},
    "self_attention": {"self_attention": True},
    "image-to-image": {"task": "image-to-image", "pictures": (INIT,), "strength": 1.0},
    "inpainting": {"task": "inpainting", "pictures": (INIT, MASK), "strength": 1.0},
    "all of it": {
        "scheduler": "Heun",
        "loras": "{model}_a",
        "vae": "other",
        "prompt": "a ({embedding}:1.2)",
        "embeddings": "{embedding}",
        "tomesd": True,
        "self_attention": True,
    },
}


@pytest.mark.parametrize("altering", ALTERING)
@pytest.mark.parametrize("model", ["sd15", "sdxl"])
def test_a_canceled_drawing_leaves_no_trace(model, altering, ask, engine, tmp_path) -> None:
    """In the middle of it: the next picture is what it would have been without."""
    Image.linear_gradient("L").save(tmp_path / "picture.png")
    embedding = {"sd15": "three", "sdxl": "two_xl"}[model]
    asked = {
        name: said.format(model=model, embedding=embedding) if isinstance(said, str) else said
        for name, said in ALTERING[altering].items()
    }
    before = engine.draw(ask(model))

    with pytest.raises(Canceled):
        engine.draw(
            ask(model, **asked),
            init_image=tmp_path / "picture.png",
            mask_image=tmp_path / "picture.png",
            step=after(1, Canceled()),
        )

    assert engine.draw(ask(model)).png == before.png


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_without_memory_everything_is_let_go(error, ask, zoo) -> None:
    """The caller may try again at once, and then it is drawn as ever."""
    engine = Engine(Settings(device="cpu", threads=1))
    before = engine.draw(ask())

    with pytest.raises(OutOfMemoryError, match="memory ran out at 64x64 with sd15"):
        engine.draw(ask(), step=after(1, error))

    assert engine._models.size_bytes == 0
    assert engine.draw(ask()).png == before.png


def test_memory_that_a_processor_lacks_is_told_apart(ask, engine) -> None:
    """Torch says it in an error like any other."""
    with pytest.raises(OutOfMemoryError):
        engine.draw(ask(), step=lambda *_: torch.empty(2**55))


@pytest.mark.parametrize("error", [RuntimeError("a shape is wrong"), ValueError("out of memory")])
def test_other_errors_stay_what_they_are(error, ask, engine) -> None:
    """They are bugs, and trying again would hide them."""
    with pytest.raises(type(error), match=str(error)):
        engine.draw(ask(), step=after(0, error))


@pytest.mark.parametrize("damage", [None, b"", b"GIF89a", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"])
def test_a_picture_that_cannot_be_read_is_told_apart(damage, ask, engine, tmp_path) -> None:
    """It is the request's own, so that trying again is useless."""
    file = tmp_path / "init.png"
    if damage is not None:
        file.write_bytes(damage)

    with pytest.raises(PictureError, match="its picture cannot be read"):
        engine.draw(ask(task="image-to-image", pictures=(INIT,)), init_image=file)


def test_a_picture_that_was_not_handed_over_is_told_apart(ask, engine) -> None:
    """Drawn from nothing it would be another request's."""
    with pytest.raises(PictureError, match="image-to-image begins with a picture"):
        engine.draw(ask(task="image-to-image", pictures=(INIT,)))


def test_it_says_what_draws(engine) -> None:
    """The device as people know it, and every version that pixels depend on."""
    assert engine.device == "cpu, 1 thread"
    assert engine.software == ", ".join(
        f"{name} {version(name)}" for name in ("holdfast", "diffusers", "torch", "transformers")
    )


@pytest.mark.parametrize(
    ("model", "flagged", "notes"),
    [
        ("flagging", True, []),
        ("clean", False, []),
        ("sd15", False, ["unavailable: safety_checker: this checkpoint comes without one"]),
        ("sdxl", False, ["unavailable: safety_checker: this checkpoint comes without one"]),
        ("flux", False, ["unavailable: safety_checker: this checkpoint comes without one"]),
    ],
)
def test_what_is_flagged_is_said_and_not_blackened(model, flagged, notes, ask, engine) -> None:
    """Whoever keeps the picture holds it back; a black one would be lost for good."""
    checked = engine.draw(ask(model, safety_checker=True))
    unchecked = engine.draw(ask(model, safety_checker=False))

    assert (checked.flagged, [str(note) for note in checked.notes]) == (flagged, notes)
    assert (unchecked.flagged, unchecked.notes) == (False, ())
    assert checked.png == unchecked.png


# A wish by the field that it is in, beside what else it takes to show.
WISHES = {
    "seed": {"seed": 8},
    "steps": {"steps": 3},
    "guidance_scale": {"guidance_scale": 2.0},
    "scheduler": {"scheduler": "KDPM2Discrete"},
    "karras_sigmas": {"scheduler": "EulerDiscrete", "karras_sigmas": True, "steps": 3},
    "negative_prompt": {"negative_prompt": "blurry"},
    "prompt": {"prompt": "a (cat:1.5)"},
    "loras": {"loras": "sd15_a"},
    "embeddings": {"embeddings": "three", "prompt": "a three"},
    "vae": {"vae": "other"},
    "clip_skip": {"clip_skip": 2},
    "tomesd": {"tomesd": True},
    "self_attention": {"self_attention": True},
    "upscale": {"upscale": True},
    "safety_checker": {"safety_checker": True},
    "strength": {"strength": 0.5},
    "enhance_prompt": {"enhance_prompt": True},
    "multi_lingual": {"multi_lingual": True},
}
# What each wish is held against, where that is not a plain request.
WITHOUT = {
    "karras_sigmas": {"scheduler": "EulerDiscrete", "steps": 3},
    "embeddings": {"prompt": "a three"},
}


@pytest.mark.parametrize("model", ["clean", "sd21", "sdxl", "flux", "sd3"])
def test_every_wish_is_seen_in_the_picture_or_noted(model, ask, engine) -> None:
    """What changes nothing has a note of its name, from the plan or from the engine."""
    plain = {"prompt": "a cat"}
    usual = engine.draw(ask(model, **plain)).png
    unsaid = []
    for field, wish in WISHES.items():
        request = ask(model, **{**plain, **wish})
        picture = engine.draw(request)
        without = WITHOUT.get(field)
        other = engine.draw(ask(model, **{**plain, **without})).png if without else usual
        noted = {note.name for note in (*request.notes, *picture.notes)}
        if picture.png == other and field not in noted:
            unsaid.append(field)

    # A checker that finds nothing is neither seen nor noted.
    assert unsaid == ["safety_checker"] * (model == "clean")
