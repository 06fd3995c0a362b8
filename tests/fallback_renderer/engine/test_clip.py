"""One text encoder: windows, weights and embeddings, held against the network itself."""

from __future__ import annotations

import pytest
import torch

from fallback_renderer.engine.clip import Encoder
from fallback_renderer.engine.quiet import hushed
from tests.fallback_renderer import bare

PROMPT = "a photo of a cat, best quality"


@pytest.fixture(autouse=True)
def _drawing():
    with hushed(), torch.no_grad():
        yield


@pytest.fixture(scope="module")
def pipe(zoo):
    """A pipeline whose encoder is asked."""
    return bare.pipeline("StableDiffusionPipeline", zoo / "sd15")


@pytest.fixture(scope="module")
def encoder(pipe):
    """Its text encoder, read here."""
    return Encoder(tokenizer=pipe.tokenizer, network=pipe.text_encoder, vectors={})


def states(encoder, prompt, *, windows=1):
    """The hidden states of a prompt."""
    return encoder.encode(prompt, skipped=0, windows=windows)[0]


@pytest.mark.parametrize("prompt", [PROMPT, "", "A  Photo,\nof ÄÖÜ 猫 <tag>", "a " * 75])
@pytest.mark.parametrize("model", ["sd15", "sd21"])
def test_a_plain_prompt_is_what_the_pipeline_makes_of_it(model, prompt, zoo) -> None:
    """Bit for bit, so that nothing depends on who encodes."""
    pipe = bare.pipeline("StableDiffusionPipeline", zoo / model)
    encoder = Encoder(tokenizer=pipe.tokenizer, network=pipe.text_encoder, vectors={})

    expected, _ = pipe.encode_prompt(prompt, "cpu", 1, False)

    assert torch.equal(expected, states(encoder, prompt))


@pytest.mark.parametrize("prompt", [PROMPT, ""])
def test_two_encoders_are_what_the_pipeline_makes_of_them(prompt, zoo) -> None:
    """SDXL's, with the pooled states of the second."""
    pipe = bare.pipeline("StableDiffusionXLPipeline", zoo / "sdxl")
    both = [
        Encoder(tokenizer=tokenizer, network=network, vectors={}, penultimate=True)
        for tokenizer, network in (
            (pipe.tokenizer, pipe.text_encoder),
            (pipe.tokenizer_2, pipe.text_encoder_2),
        )
    ]

    expected, _, expected_pooled, _ = pipe.encode_prompt(prompt, do_classifier_free_guidance=False)

    (first, none), (second, pooled) = (
        encoder.encode(prompt, skipped=0, windows=1) for encoder in both
    )
    assert torch.equal(expected, torch.cat([first, second], dim=-1))
    assert torch.equal(expected_pooled, pooled)
    assert none is None


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.3, 10.0, -2.0])
def test_a_weight_moves_a_word_from_what_emptiness_is(weight, encoder) -> None:
    """That many times as far as the plain word is; nothing else of the prompt moves."""
    plain, empty = states(encoder, "a b c"), states(encoder, "")

    weighed = states(encoder, f"a b (c:{weight})")

    expected = plain.clone()
    expected[0, 3] = empty[0, 3] + weight * (plain[0, 3] - empty[0, 3])
    assert torch.allclose(expected, weighed, atol=1e-5)
    assert torch.equal(plain[0, :3], weighed[0, :3])


@pytest.mark.parametrize(
    ("words", "windows"), [(0, 1), (1, 1), (75, 1), (76, 2), (150, 2), (151, 3)]
)
def test_a_prompt_takes_as_many_windows_as_it_needs(words, windows, encoder) -> None:
    """Of 75 tokens, and the two that begin and end each."""
    prompt = "a " * words

    assert encoder.windows(prompt) == windows
    assert states(encoder, prompt, windows=windows).shape == (1, 77 * windows, 32)
    assert encoder.fits(prompt) is (windows == 1)


def test_a_window_ends_after_a_comma_if_there_is_one(encoder) -> None:
    """A thought is not cut in two: what follows the comma begins the next window."""
    before, after = "a " * 65 + ",", "b c " * 6

    both = states(encoder, before + after, windows=2)

    assert torch.equal(torch.cat([states(encoder, before), states(encoder, after)], dim=1), both)


def test_a_comma_too_far_back_is_passed_over(encoder) -> None:
    """A window must not be left half empty."""
    both = states(encoder, "a, " + "b " * 80, windows=2)

    first, second = states(encoder, "a, " + "b " * 73), states(encoder, "b " * 7)
    assert torch.equal(torch.cat([first, second], dim=1), both)


def test_windows_beyond_the_prompt_are_empty(encoder) -> None:
    """For where another prompt is longer, and both must be as long."""
    padded = states(encoder, PROMPT, windows=2)

    assert torch.equal(torch.cat([states(encoder, PROMPT), states(encoder, "")], dim=1), padded)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("prompt", ["a photo of <one>, red", "<one>", "a <one><one> (cat)"])
def test_an_embedding_is_what_diffusers_makes_of_it(prompt, width, zoo) -> None:
    """Its vectors stand where its word stands, as many as it has, as often as it is said."""
    pipe = bare.pipeline.__wrapped__("StableDiffusionPipeline", zoo / "sd15")
    vectors = torch.randn(width, 32, generator=torch.Generator().manual_seed(1))
    encoder = Encoder(
        tokenizer=pipe.tokenizer, network=pipe.text_encoder, vectors={"<one>": vectors}
    )
    ours = states(encoder, prompt.replace("(", "\\(").replace(")", "\\)"))

    pipe.load_textual_inversion({"<one>": vectors}, token="<one>")
    expected, _ = pipe.encode_prompt(prompt, "cpu", 1, False)

    assert torch.equal(expected, ours)


def test_an_embedding_leaves_the_pooled_state_to_the_last_token(zoo) -> None:
    """Tokens of its own would be taken for the last, as their numbers are the highest."""
    pipe = bare.pipeline.__wrapped__("StableDiffusionXLPipeline", zoo / "sdxl")
    vectors = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))
    tokenizer, network = pipe.tokenizer_2, pipe.text_encoder_2
    encoder = Encoder(
        tokenizer=tokenizer, network=network, vectors={"<one>": vectors}, penultimate=True
    )
    _, ours = encoder.encode("a <one> cat", skipped=0, windows=1)

    pipe.load_textual_inversion(
        {"<one>": vectors}, token="<one>", tokenizer=tokenizer, text_encoder=network
    )
    text = pipe.maybe_convert_prompt("a <one> cat", tokenizer)
    ids = tokenizer(text, padding="max_length", max_length=77, return_tensors="pt").input_ids
    taken_for_the_last = network(ids).text_embeds
    network.text_model.eos_token_id = tokenizer.eos_token_id

    assert torch.equal(network(ids).text_embeds, ours)
    assert not torch.equal(taken_for_the_last, ours)


def test_nothing_is_left_on_the_network(encoder, pipe) -> None:
    """Not even if it fails in the middle."""
    vectors = {"<one>": torch.randn(1, 31)}
    broken = Encoder(tokenizer=pipe.tokenizer, network=pipe.text_encoder, vectors=vectors)
    before = states(encoder, "a <one> cat")

    with pytest.raises(RuntimeError):
        states(broken, "a <one> cat")

    assert torch.equal(before, states(encoder, "a <one> cat"))
