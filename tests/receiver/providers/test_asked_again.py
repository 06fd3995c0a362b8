"""A generation, worded as its provider would be asked for it once more."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from archiver.models import Generation, GenerationParams, Heard
from receiver.providers import PROVIDERS
from receiver.providers.asked_again import as_request
from receiver.providers.submitters import SUBMITTERS
from tests.receiver.providers.samples import sample

REQUESTS = {
    "doitong": sample("doitong/generate-curl-flux-pro").body,
    "dashscope": sample("dashscope/submit-request").body,
    "modelslab": sample("modelslab/enterprise-request").body,
}


def told(provider: str, body: bytes) -> Generation:
    """What is known of a generation whose request was told to us."""
    [seen] = PROVIDERS[provider].parse(Heard.REMEMBERED, "abc", body)
    return generation(provider, seen.params, seen.service)


def generation(provider: str, params: GenerationParams, service: str | None = None) -> Generation:
    """One that is known by nothing else."""
    at = datetime(2026, 11, 21, tzinfo=UTC)
    return Generation(
        provider=provider, id="abc", params=params, service=service, first_heard_at=at
    )


def worded(known: Generation) -> Any:
    """The request, read."""
    text = as_request(known)
    return None if text is None else json.loads(text)


@pytest.mark.parametrize("provider", REQUESTS)
def test_what_is_copied_asks_for_the_same(provider: str) -> None:
    """Sent once more it would be read as what it came from, as far as anybody takes it."""
    known = told(provider, REQUESTS[provider])
    if provider == "modelslab":  # the document has a place-holder in the model's place
        known = replace(known, params=replace(known.params, model="sdxl"))
    again = told(provider, json.dumps(worded(known)).encode())
    taken = SUBMITTERS[provider].takes
    assert again.service == known.service
    assert [getattr(again.params, name) for name in taken] == [
        getattr(known.params, name) for name in taken
    ]


@pytest.mark.parametrize("provider", REQUESTS)
def test_no_key_and_nothing_of_ours_is_in_it(provider: str) -> None:
    """Neither a key, nor what we would know it by, nor where we would be told of it."""
    asked = worded(generation(provider, GenerationParams(prompt="a fox", model="m"), "flux-pro"))
    assert {"key", "track_id", "webhook"}.isdisjoint(asked)
    assert "webhookUrl" not in json.dumps(asked)


def test_what_a_provider_does_not_take_is_left_out() -> None:
    """Nobody knows how it was said; the rest is asked for all the same."""
    params = GenerationParams(prompt="a fox", model="flux-dev", clip_skip=2, seed=7)
    assert worded(generation("dashscope", params)) == {
        "model": "flux-dev",
        "input": {"prompt": "a fox"},
        "parameters": {"seed": 7},
    }


@pytest.mark.parametrize(
    "known",
    [
        generation("midjourney", GenerationParams(prompt="a fox")),
        generation("doitong", GenerationParams()),
        generation("dashscope", GenerationParams(prompt="no model")),
        generation("modelslab", GenerationParams(prompt="no model"), "v6/images/text2img"),
        generation("modelslab", GenerationParams(prompt="a", model="m", task="inpainting")),
    ],
)
def test_what_cannot_be_asked_for_is_not_worded(known: Generation) -> None:
    """Of nobody we know, without a prompt or a model, or with pictures in the request."""
    assert as_request(known) is None
