"""What DashScope may be asked for, beyond the document's sample."""

from __future__ import annotations

from typing import Any

import pytest

from archiver.errors import UnreadableError
from archiver.models import GenerationParams, GenerationState, InputObservation, Observation
from tests.receiver.providers.dashscope_bodies import TASK_ID, URL, remembered, submitted

PARAMS: dict[str, tuple[dict[str, Any], GenerationParams]] = {
    "all of the document": (
        {
            "model": "stable-diffusion-v1.5",
            "input": {"prompt": "a", "negative_prompt": "b"},
            "parameters": {"size": "768*1024", "n": 2, "steps": 40, "scale": 3, "seed": 0},
        },
        GenerationParams(
            model="stable-diffusion-v1.5",
            prompt="a",
            negative_prompt="b",
            width=768,
            height=1024,
            samples=2,
            steps=40,
            guidance_scale=3.0,
            seed=0,
        ),
    ),
    "numbers as text": (
        {"input": {"prompt": "a"}, "parameters": {"n": "2", "seed": "7", "scale": "7.5"}},
        GenerationParams(prompt="a", samples=2, seed=7, guidance_scale=7.5),
    ),
    "nothing beyond the prompt: no defaults are made up": (
        {"input": {"prompt": "a"}},
        GenerationParams(prompt="a"),
    ),
    "flat, as by the SDK": (
        {"model": "m", "prompt": "a", "negative_prompt": "b", "n": 1, "size": "512*256"},
        GenerationParams(
            model="m", prompt="a", negative_prompt="b", samples=1, width=512, height=256
        ),
    ),
    "messages": (
        {
            "model": "qwen-image",
            "input": {
                "messages": [
                    {"role": "user", "content": [{"text": "a"}, {"image": URL}, {"text": " b "}]}
                ]
            },
            "parameters": {"negative_prompt": "c", "prompt_extend": True, "size": "1328*1328"},
        },
        GenerationParams(
            model="qwen-image",
            prompt="a\nb",
            negative_prompt="c",
            enhance_prompt=True,
            width=1328,
            height=1328,
        ),
    ),
    "strength": (
        {"input": {"prompt": "a"}, "parameters": {"strength": 0.5}},
        GenerationParams(prompt="a", strength=0.5),
    ),
    "cfg": (
        {"input": {"prompt": "a"}, "parameters": {"cfg": 4.5}},
        GenerationParams(prompt="a", guidance_scale=4.5),
    ),
    "guidance": (
        {"input": {"prompt": "a"}, "parameters": {"guidance": 3.5}},
        GenerationParams(prompt="a", guidance_scale=3.5),
    ),
    "what can mean nothing": (
        {
            "model": 7,
            "input": {"prompt": "a", "negative_prompt": " ", "messages": ["a", {"content": "b"}]},
            "parameters": {"size": "2K", "n": 0, "steps": 1.5, "scale": "high", "seed": -1},
        },
        GenerationParams(prompt="a"),
    ),
}

SIZES: dict[object, tuple[int | None, int | None]] = {
    "512*1024": (512, 1024),
    " 512 x 1024 ": (512, 1024),
    "512X1024": (512, 1024),
    "512": (None, None),
    "512*": (None, None),
    "512*1024*3": (None, None),
    "0*1024": (None, 1024),
    "٥*٥": (None, None),
    "9" * 5000 + "*1": (None, None),
    512: (None, None),
}

WORDS = {
    "text2image": "text-to-image",
    "image2image": "image-to-image",
    "image2video": "image2video",
    "video-generation": "video-generation",
    "background-generation": "background-generation",
}

INPUTS: dict[str, tuple[dict[str, Any], list[InputObservation]]] = {
    "each by its name": (
        {"base_image_url": URL, "mask_image_url": "http://a/m.png", "ref_img": "https://a/r.png"},
        [
            InputObservation(role="base_image_url", url=URL),
            InputObservation(role="mask_image_url", url="http://a/m.png"),
            InputObservation(role="ref_img", url="https://a/r.png"),
        ],
    ),
    "several of one name": (
        {"images": [URL, "https://a/2.png"], "first_frame_url": "https://a/3.png"},
        [
            InputObservation(role="images", url=URL),
            InputObservation(role="images", url="https://a/2.png"),
            InputObservation(role="first_frame_url", url="https://a/3.png"),
        ],
    ),
    "in messages": (
        {"messages": [{"content": [{"image": URL}, {"text": "a"}]}, {"content": "a"}]},
        [InputObservation(role="image", url=URL)],
    ),
    "no links": (
        {"image_url": "oss://dashscope-instant/a.png", "mask_image_url": "data:image/png;base64,A"},
        [
            InputObservation(role="image_url", url=None),
            InputObservation(role="mask_image_url", url=None),
        ],
    ),
    "no pictures": ({"prompt": URL, "audio_url": "https://a/a.wav", "ref_strength": 0.5}, []),
}


class TestRequest:
    """What is asked for, read from what was sent."""

    @pytest.mark.parametrize(("request_", "params"), PARAMS.values(), ids=PARAMS)
    def test_params(self, request_: dict[str, Any], params: GenerationParams) -> None:
        """Nested or flat, in numbers or in text."""
        assert remembered(request_).params == params

    @pytest.mark.parametrize(("size", "expected"), SIZES.items(), ids=repr)
    def test_size(self, size: object, expected: tuple[int | None, int | None]) -> None:
        """Width and height with a star between them; a word like "2K" says neither."""
        params = remembered({"input": {"prompt": "a"}, "parameters": {"size": size}}).params

        assert (params.width, params.height) == expected

    @pytest.mark.parametrize(("word", "name"), WORDS.items())
    @pytest.mark.parametrize("prefix", ["", "/api/v1/", "https://w.cn-beijing.maas.a.com/api/v1/"])
    def test_every_kind_of_task(self, word: str, name: str, prefix: str) -> None:
        """The word after `aigc` is the task, at whatever base URL; trailing slashes occur."""
        path = f"{prefix}services/aigc/{word}/generation/"

        assert submitted({"input": {"prompt": "a"}}, path).params == GenerationParams(
            task=name, prompt="a"
        )

    @pytest.mark.parametrize(("given", "inputs"), INPUTS.values(), ids=INPUTS)
    def test_inputs(self, given: dict[str, Any], inputs: list[InputObservation]) -> None:
        """Pictures by http only; what is sent inline or uploaded before has no link to keep."""
        request = {"model": "wanx2.1-imageedit", "input": given}

        assert submitted(request).inputs == tuple(inputs)
        assert remembered(request).inputs == tuple(inputs)

    @pytest.mark.parametrize("request_", [b"", b"<xml/>", b"[]", b"\xff"])
    def test_a_request_that_we_cannot_read(self, request_: bytes) -> None:
        """The provider could, for it gave an id; the task is known without its parameters."""
        assert submitted(request_) == Observation(
            provider="dashscope",
            generation_id=TASK_ID,
            state=GenerationState.QUEUED,
            params=GenerationParams(task="text-to-image"),
        )

    @pytest.mark.parametrize(
        "request_", [{}, {"model": "m"}, {"input": {}}, {"input": "a"}, {"prompt": " "}]
    )
    def test_a_request_for_nothing_is_unreadable(self, request_: dict[str, Any]) -> None:
        """There would be nothing to remember."""
        with pytest.raises(UnreadableError, match="asks for nothing"):
            remembered(request_)
