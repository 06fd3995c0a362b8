"""What the pipelines are told of the prompts, and what is noted."""

from __future__ import annotations

import pytest

from tests.fallback_renderer import bare

PROMPT = "a photo of a cat, best quality"
LONG = "a photo of a cat, " * 20


def notes_of(picture):
    """The notes in words."""
    return [str(note) for note in picture.notes]


def test_layers_are_skipped_as_sdxl_s_pipeline_skips_them(ask, engine, zoo) -> None:
    """The provider counts from one, diffusers from none."""
    pipe = bare.pipeline("StableDiffusionXLPipeline", zoo / "sdxl")
    told = {"prompt": PROMPT, "negative_prompt": "blurry", "width": 64, "height": 64}

    expected = bare.draw(
        pipe, seed=7, **told, clip_skip=1, guidance_scale=5.0, num_inference_steps=2
    )

    picture = engine.draw(ask("sdxl", prompt=PROMPT, negative_prompt="blurry", clip_skip=2))
    assert expected.tobytes() == bare.pixels(picture.png)
    assert notes_of(picture) == []


@pytest.mark.parametrize("model", ["sd15", "sd21"])
def test_layers_are_skipped_where_the_pipeline_cannot(model, ask, engine, zoo) -> None:
    """As it would, if its text encoder were where it looks for it."""
    pipe = bare.pipeline.__wrapped__("StableDiffusionPipeline", zoo / model)
    told = {"prompt": PROMPT, "negative_prompt": "blurry", "width": 64, "height": 64}
    with pytest.raises(AttributeError, match="text_model"):
        bare.draw(pipe, seed=7, **told, clip_skip=1, num_inference_steps=2)
    pipe.text_encoder.__dict__["text_model"] = pipe.text_encoder

    expected = bare.draw(
        pipe, seed=7, **told, clip_skip=1, guidance_scale=7.5, num_inference_steps=2
    )

    picture = engine.draw(ask(model, prompt=PROMPT, negative_prompt="blurry", clip_skip=2))
    assert expected.tobytes() == bare.pixels(picture.png)


@pytest.mark.parametrize(("model", "most"), [("sd15", 3), ("sd21", 3), ("sdxl", 2)])
def test_no_more_layers_are_skipped_than_there_are(model, most, ask, engine) -> None:
    """The first stays, and the note says how far it went."""
    far, farthest = (engine.draw(ask(model, clip_skip=skip)) for skip in (8, most))

    assert far.png == farthest.png
    assert notes_of(far) == [
        f"clamped: clip_skip: 8 is drawn as {most}, for the text encoder has no more"
    ]
    assert notes_of(farthest) == []


@pytest.mark.parametrize("model", ["sd15", "sd21", "sdxl"])
def test_emphasis_and_the_far_end_of_a_prompt_count(model, ask, engine) -> None:
    """None of these is the same picture, and a weight of one changes nothing."""
    prompts = [
        *("a photo of a cat", "a photo of a (cat:1.4)", "a photo of a [cat]"),
        *(LONG + "red", LONG + "blue", LONG + "(blue:1.4)"),
    ]
    drawn = [engine.draw(ask(model, prompt=prompt)) for prompt in prompts]
    negative = engine.draw(ask(model, prompt=prompts[0], negative_prompt=LONG))
    same = engine.draw(ask(model, prompt="a photo of a (cat:1.0)"))

    assert len({picture.png for picture in (*drawn, negative)}) == len(prompts) + 1
    assert same.png == drawn[0].png
    assert [notes_of(picture) for picture in drawn] == [[]] * len(prompts)


@pytest.mark.parametrize("model", ["sd15", "sdxl"])
def test_brackets_that_are_escaped_are_words(model, ask, engine, zoo) -> None:
    """What the pipeline gets is the plain prompt."""
    stem = {"sd15": "StableDiffusion", "sdxl": "StableDiffusionXL"}[model]
    pipe = bare.pipeline(f"{stem}Pipeline", zoo / model)
    told = {"width": 64, "height": 64, "num_inference_steps": 2, "guidance_scale": 4.0}

    expected = bare.draw(pipe, seed=7, prompt="a cat (red)", **told)

    picture = engine.draw(ask(model, prompt=r"a cat \(red\)", guidance_scale=4.0))
    assert expected.tobytes() == bare.pixels(picture.png)


@pytest.mark.parametrize("model", ["flux", "sd3"])
def test_brackets_are_words_where_the_checkpoint_flows(model, ask, engine) -> None:
    """The request has them in plain words already; they are not read a second time."""
    escaped, plain = (engine.draw(ask(model, prompt=text)) for text in (r"\(a cat\)", "a cat"))

    assert escaped.png != plain.png


@pytest.mark.parametrize(("model", "most"), [("flux", 512), ("sd3", 256)])
def test_a_prompt_that_is_cut_off_is_noted(model, most, ask, engine) -> None:
    """T5 reads far, and then no further without a word."""
    short, long = "cat " * (most - 1), "cat " * most
    negative = {"negative_prompt": long} if model == "sd3" else {}

    kept, cut = (engine.draw(ask(model, prompt=short)), engine.draw(ask(model, prompt=long)))
    both = engine.draw(ask(model, prompt=long, **negative))

    note = f"{most + 1} tokens, of which the checkpoint reads {most}"
    assert notes_of(kept) == []
    assert notes_of(cut) == [f"clamped: prompt: {note}"]
    assert notes_of(both)[1:] == [f"clamped: {name}: {note}" for name in negative]
