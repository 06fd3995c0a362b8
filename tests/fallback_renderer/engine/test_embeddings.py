"""Embeddings: words with a meaning of their own, for one picture."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

from tests.fallback_renderer import bare

TOLD = {"width": 64, "height": 64, "num_inference_steps": 2, "guidance_scale": 4.0}


def drawn(engine, ask, model, *names, negative=""):
    """A picture with these embeddings in its prompt, and one more in the negative."""
    prompt = f"a cat, {' '.join(names)}"
    embeddings = ",".join((*names, negative))
    return engine.draw(
        ask(
            model,
            prompt=prompt,
            negative_prompt=negative,
            embeddings=embeddings,
            guidance_scale=4.0,
        )
    )


def test_words_get_their_meaning_and_lose_it(ask, engine, zoo) -> None:
    """Of one vector and of several, in both prompts, as diffusers would have it."""
    before = engine.draw(ask(prompt="a cat, one", negative_prompt="three", guidance_scale=4.0))
    pipe = bare.pipeline.__wrapped__("StableDiffusionPipeline", zoo / "sd15")
    for name in ("one", "three"):
        pipe.load_textual_inversion(zoo / "embeddings" / f"{name}.safetensors", token=name)

    expected = bare.draw(pipe, seed=7, prompt="a cat, one", negative_prompt="three", **TOLD)

    picture = drawn(engine, ask, "sd15", "one", negative="three")
    again = engine.draw(ask(prompt="a cat, one", negative_prompt="three", guidance_scale=4.0))
    assert expected.tobytes() == bare.pixels(picture.png)
    assert picture.notes == ()
    assert picture.png != before.png == again.png


def test_sdxl_gets_one_for_each_text_encoder(ask, engine, zoo) -> None:
    """As diffusers would have it, were it not for the pooled state (see the text encoder's)."""
    pipe = bare.pipeline.__wrapped__("StableDiffusionXLPipeline", zoo / "sdxl")
    tensors = load_file(zoo / "embeddings" / "two_xl.safetensors")
    for name, which in (("clip_l", ""), ("clip_g", "_2")):
        pipe.load_textual_inversion(
            tensors[name],
            token="two_xl",
            tokenizer=getattr(pipe, f"tokenizer{which}"),
            text_encoder=getattr(pipe, f"text_encoder{which}"),
        )
    pipe.text_encoder_2.text_model.eos_token_id = pipe.tokenizer_2.eos_token_id

    expected = bare.draw(pipe, seed=7, prompt="a cat, two_xl", **TOLD)

    picture = drawn(engine, ask, "sdxl", "two_xl")
    assert expected.tobytes() == bare.pixels(picture.png)
    assert picture.notes == ()


@pytest.mark.parametrize(
    ("model", "name", "note"),
    [
        ("sd15", "two_xl", "ignored: embeddings: two_xl does not fit this checkpoint"),
        ("sd15", "wide", "ignored: embeddings: wide does not fit this checkpoint"),
        ("sd21", "gone", "missing: embeddings: gone cannot be read on this machine"),
        ("sdxl", "one", "ignored: embeddings: one does not fit this checkpoint"),
        ("sdxl", "three", "ignored: embeddings: three does not fit this checkpoint"),
    ],
)
def test_one_that_cannot_be_used_is_noted(model, name, note, ask, engine) -> None:
    """Its word is then a word like any other."""
    picture = drawn(engine, ask, model, name)

    plain = engine.draw(ask(model, prompt=f"a cat, {name}", guidance_scale=4.0))
    assert [str(it) for it in picture.notes] == [note]
    assert picture.png == plain.png


def test_a_word_within_emphasis_is_found(ask, engine) -> None:
    """Weighed, its vectors weigh more; a longer name is never read as a shorter one."""
    weighed = engine.draw(ask(prompt="a cat, (three:1.4)", embeddings="three,one"))
    plain = engine.draw(ask(prompt="a cat, three", embeddings="three,one"))
    bare_word = engine.draw(ask(prompt="a cat, (three:1.4)"))

    assert len({weighed.png, plain.png, bare_word.png}) == 3


def test_within_another_word_it_is_no_word(ask, engine) -> None:
    """`one` says nothing in stone, and is noted as in neither prompt."""
    plain = ask(prompt="a stone cat")
    request = ask(prompt="a stone cat", embeddings="one")

    assert engine.draw(request).png == engine.draw(plain).png
    assert [note.name for note in request.notes] == ["embeddings"]
    together = ask(prompt="a stone cat, one", embeddings="one")
    assert together.notes == ()
    assert engine.draw(together).png != engine.draw(ask(prompt="a stone cat, one")).png
