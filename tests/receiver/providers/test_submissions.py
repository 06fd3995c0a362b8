"""What is asked for arrives as documented, and reads back as what was asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.models import FailureClass, GenerationParams, Heard
from receiver.exchange import Exchange, Request, encode
from receiver.providers import PROVIDERS
from receiver.providers.submitters import SUBMITTERS
from receiver.providers.taken import NotTakenError
from tests.receiver.providers.samples import sample

KEY = "sk-0123456789"
CITY = "A futuristic city with flying cars and neon lights"

ANSWERS: dict[str, Any] = {
    "doitong": {"data": {"generate": {"id": "g1", "status": "processing", "creditCost": 10}}},
    "dashscope": {"output": {"task_id": "g1", "task_status": "PENDING"}, "request_id": "r"},
    "modelslab": {"status": "processing", "id": "g1", "eta": 3, "output": []},
}


def request(provider: str, **params: Any) -> Request:
    return SUBMITTERS[provider].submission(
        GenerationParams(**params), api_key=KEY, idempotency_key="once"
    )


def said(provider: str, **params: Any) -> Any:
    """The body as the provider reads it."""
    return json.loads(request(provider, **params).body)


class TestAsDocumented:
    """Against the providers' own examples."""

    def test_doitong(self) -> None:
        """The first example of "Quick start", byte for byte in meaning, and its headers."""
        asked = request("doitong", prompt=CITY, model="flux-pro", width=1024, height=1024)

        assert json.loads(asked.body) == json.loads(sample("doitong/generate-curl-flux-pro").body)
        assert (asked.method, asked.path) == ("POST", "/graphql")
        assert asked.header("Authorization") == f"Bearer {KEY}"
        assert asked.header("Idempotency-Key") == "once"
        assert asked.header("Content-Type") == "application/json"

    def test_dashscope(self) -> None:
        """The example of the HTTP interface; without its header no task is begun."""
        asked = request(
            "dashscope",
            model="stable-diffusion-xl",
            prompt="a running cat",
            negative_prompt="yellow cat",
            width=512,
            height=512,
            samples=4,
            seed=42,
        )

        assert json.loads(asked.body) == json.loads(sample("dashscope/submit-request").body)
        assert asked.path == "/api/v1/services/aigc/text2image/image-synthesis"
        assert asked.header("X-DashScope-Async") == "enable"

    def test_modelslab(self) -> None:
        """Every field has the example's name and the example's way of writing."""
        example = json.loads(sample("modelslab/enterprise-request").body)
        asked = said(
            "modelslab",
            **{name: example[name] for name in ("prompt", "negative_prompt", "scheduler")},
            version="enterprise",
            model="m",
            width=512,
            height=512,
            samples=1,
            steps=20,
            safety_checker=False,
            enhance_prompt=True,
            guidance_scale=7.5,
            multi_lingual=False,
            panorama=False,
            self_attention=False,
            upscale=False,
            clip_skip=2,
            tomesd=True,
            karras_sigmas=True,
        )

        known = {name: value for name, value in example.items() if value is not None}
        assert asked == known | {"key": KEY, "track_id": "once", "webhook": None, "model_id": "m"}

    def test_modelslab_has_two_ways(self) -> None:
        """An enterprise key is of no use at the community's API, nor the other way round."""
        given = {"prompt": "a cat", "model": "sdxl"}

        assert request("modelslab", **given).path == "/api/v6/images/text2img"
        enterprise = request("modelslab", version="enterprise", **given)
        assert enterprise.path == "/api/v1/enterprise/text2img"

    def test_webhooks(self) -> None:
        """Asked for where the provider has a place for them."""
        params = GenerationParams(prompt="a cat", model="m")
        url = "https://archive.example/webhooks/x"
        asked = {
            name: SUBMITTERS[name]
            .submission(params, api_key=KEY, idempotency_key="once", webhook_url=url)
            .body
            for name in ("doitong", "modelslab")
        }

        options = json.loads(asked["doitong"])["variables"]["input"]["options"]
        assert options == {"webhookUrl": url}
        assert json.loads(asked["modelslab"])["webhook"] == url


@pytest.mark.parametrize(
    ("model", "scale", "expected"),
    [
        ("stable-diffusion-xl", 7.0, {"scale": 7}),
        ("stable-diffusion-3.5-large", 4.5, {"cfg": 4.5}),
        ("flux-dev", 3.5, {"guidance": 3.5}),
    ],
)
def test_guidance_has_the_name_of_its_model(
    model: str, scale: float, expected: dict[str, float]
) -> None:
    """DashScope's models call the same thing differently."""
    asked = said("dashscope", prompt="a cat", model=model, guidance_scale=scale)

    assert asked["parameters"] == expected


@pytest.mark.parametrize(
    ("provider", "params", "words"),
    [
        ("doitong", {"seed": 7}, "seed = 7: doitong takes none"),
        ("doitong", {"negative_prompt": "dogs"}, "negative_prompt"),
        ("doitong", {"samples": 2}, "one picture for a request"),
        ("doitong", {"prompt": "  "}, "no prompt"),
        ("dashscope", {}, "needs a model"),
        ("dashscope", {"model": "stable-diffusion-xl", "width": 512}, "only together"),
        ("dashscope", {"model": "stable-diffusion-xl", "guidance_scale": 7.5}, "whole numbers"),
        ("dashscope", {"model": "stable-diffusion-xl", "quality": "high"}, "quality = 'high'"),
        ("modelslab", {}, "needs a model"),
        ("modelslab", {"model": "m", "version": "v9"}, "v6 or enterprise"),
        ("modelslab", {"model": "m", "strength": 0.5}, "strength = 0.5"),
        ("modelslab", {"model": "m", "task": "inpainting"}, "only text-to-image"),
    ],
)
def test_what_cannot_be_taken_is_refused(provider: str, params: dict[str, Any], words: str) -> None:
    """A parameter that would be dropped is named instead."""
    with pytest.raises(NotTakenError, match=words):
        request(provider, **{"prompt": "a cat", **params})


_TEXT = st.text(st.characters(codec="utf-8"), min_size=1).map(str.strip).filter(bool)
_SIDE = st.integers(1, 4096)
_SEED = st.integers(0, 2**63 - 1)


def asked_of(**columns: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Parameters that are said or left out."""
    return st.fixed_dictionaries({"prompt": _TEXT, "model": _TEXT}, optional=columns)


_CASES = st.one_of(
    st.tuples(
        st.just("doitong"),
        asked_of(width=_SIDE, height=_SIDE, version=_TEXT, quality=_TEXT),
    ),
    st.tuples(
        st.just("dashscope"),
        asked_of(
            negative_prompt=_TEXT,
            samples=st.integers(1, 4),
            steps=st.integers(1, 500),
            seed=_SEED,
            guidance_scale=st.integers(1, 15).map(float),
        ),
    ),
    st.tuples(
        st.just("modelslab"),
        asked_of(
            negative_prompt=_TEXT,
            width=_SIDE,
            height=_SIDE,
            samples=st.integers(1, 4),
            steps=st.integers(1, 50),
            seed=_SEED,
            guidance_scale=st.floats(1, 20),
            scheduler=_TEXT,
            vae=_TEXT,
            clip_skip=st.integers(1, 8),
            karras_sigmas=st.booleans(),
            tomesd=st.booleans(),
            upscale=st.booleans(),
            safety_checker=st.booleans(),
            enhance_prompt=st.booleans(),
            multi_lingual=st.booleans(),
            panorama=st.booleans(),
            self_attention=st.booleans(),
        ),
    ),
)


@given(_CASES)
def test_what_is_asked_for_reads_back(case: tuple[str, dict[str, Any]]) -> None:
    """The archive learns from the exchange exactly what was submitted."""
    provider, params = case
    asked = request(provider, **params)
    exchange = Exchange(
        method=asked.method,
        path=asked.path,
        request_type=asked.header("Content-Type"),
        request=asked.body,
        status=200,
        answer=msgspec.json.encode(ANSWERS[provider]),
    )

    [seen] = PROVIDERS[provider].parse(Heard.OVERHEARD, "", encode(exchange))

    model = {"doitong": None}.get(provider, params["model"])
    expected = replace(GenerationParams(**params), model=model, task=seen.params.task)
    assert seen.params == expected
    assert seen.generation_id == "g1"
    if provider == "doitong":
        assert (seen.service, seen.cost) == (params["model"][:500], 10)


CREDITS = (
    b'{"errors":[{"message":"Insufficient credits for this operation","extensions":'
    b'{"code":"INSUFFICIENT_CREDITS","creditsRequired":100,"creditsAvailable":50}}]}'
)


@pytest.mark.parametrize(
    ("provider", "status", "answer", "failure_class", "message"),
    [
        ("doitong", 402, CREDITS, FailureClass.OPERATOR, "100 required, 50 available"),
        ("doitong", 401, b"<html>", FailureClass.OPERATOR, "answered 401"),
        ("doitong", 500, b"", FailureClass.RENDERABLE, "answered 500"),
        (
            "dashscope",
            400,
            b'{"code":"Arrearage","message":"not in good standing","request_id":"r"}',
            FailureClass.OPERATOR,
            "not in good standing",
        ),
        (
            "dashscope",
            400,
            b'{"code":"DataInspectionFailed","message":"Input data"}',
            FailureClass.POLICY,
            "Input data",
        ),
        ("dashscope", 502, b"<html>", FailureClass.RENDERABLE, "answered 502"),
        (
            "modelslab",
            200,
            b'{"status":"error","message":"Rate limit exceeded","tips":"wait"}',
            FailureClass.TRANSIENT,
            "Rate limit exceeded",
        ),
        (
            "modelslab",
            200,
            b'{"status":"error","message":{"prompt":["The prompt field is required."]}}',
            FailureClass.DEAD,
            "The prompt field is required.",
        ),
    ],
)
def test_refusals(
    provider: str, status: int, answer: bytes, failure_class: FailureClass, message: str
) -> None:
    """A no is read for whose fault it is, and keeps the provider's words."""
    failure = SUBMITTERS[provider].refusal(status, answer)

    assert failure.failure_class is failure_class
    assert message in failure.message
