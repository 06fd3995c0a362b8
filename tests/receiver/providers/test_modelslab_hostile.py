"""Whoever speaks, anything at all may be said."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import UnreadableError
from archiver.merging import merge
from archiver.models import DeliveryRef, Generation, Heard, Observation
from receiver.exchange import Exchange, encode
from receiver.providers.modelslab import MODELSLAB
from tests.clocks import NOON
from tests.receiver.providers.modelslab_bodies import MIRROR, PRESIGNED, SUBMIT, URL

FETCHED = "/api/v6/images/fetch"

WORDS = st.sampled_from(
    [
        *("success", "processing", "failed", "error", "yes", "no", "nsfw", "Try Again", "512"),
        *(URL, MIRROR, PRESIGNED, "iVBORw0KGgoAAAANSUhEUg==", '{"seed": 7}', "", "{"),
    ]
)
KEYS = st.text(max_size=3) | st.sampled_from(
    [
        *("id", "status", "output", "proxy_links", "future_links", "nsfw_content_detected"),
        *("message", "messege", "error", "tip", "meta", "track_id", "event", "execution"),
        *("request_id", "prompt", "negative_prompt", "seed", "W", "width", "samples", "n_samples"),
        *("lora", "lora_strength", "guidance_scale", "clip_skip", "init_image", "0", "1"),
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=8)
BODIES = st.binary(max_size=40) | DOCUMENTS.map(lambda it: json.dumps({"id": "7", **it}).encode())
PATHS = st.sampled_from([SUBMIT, f"{FETCHED}/7", FETCHED, "//fetch", "fetch/%ff", "/%2F"])
HEARD = st.sampled_from(Heard)
STATUSES = st.sampled_from([200, 400, 404, 429, 500])


def delivery(heard: Heard, path: str, request: bytes, status: int, answer: bytes) -> bytes:
    """The body by which any of the four ways of hearing would bring it."""
    if heard in (Heard.PUSHED, Heard.REMEMBERED):
        return answer
    return encode(Exchange(method="POST", path=path, request=request, status=status, answer=answer))


def understood(heard: Heard, body: bytes) -> tuple[Observation, ...]:
    """What a body says, none if it is unreadable; anything else is an error of the test."""
    try:
        return MODELSLAB.parse(heard, "7", body)
    except UnreadableError:
        return ()


def merged(observations: list[tuple[int, Observation]]) -> Generation | None:
    """All that is known after hearing these, each at its position in the inbox."""
    generation: Generation | None = None
    for position, observation in observations:
        generation = merge(
            generation,
            observation,
            heard_in=DeliveryRef(inbox="inbox", position=position),
            received_at=NOON + timedelta(seconds=position),
            link_lifetime=MODELSLAB.link_lifetime,
        )
    return generation


OBSERVATIONS = st.builds(
    lambda *said: understood(said[0], delivery(*said)), HEARD, PATHS, BODIES, STATUSES, BODIES
)


class TestHostile:
    """It is understood, or it is said to be unreadable."""

    @given(HEARD, st.binary())
    def test_any_bytes(self, heard: Heard, body: bytes) -> None:
        """No bytes raise anything but UnreadableError."""
        understood(heard, body)

    @given(HEARD, PATHS, BODIES, STATUSES, BODIES)
    def test_any_document(
        self, heard: Heard, path: str, request: bytes, status: int, answer: bytes
    ) -> None:
        """No document does either; a webhook brings no link, and no words bring a secret."""
        for says in understood(heard, delivery(heard, path, request, status, answer)):
            assert says.generation_id.strip()
            repr(says).encode()
            assert len({seen.index for seen in says.slots}) <= 64
            failures = [says.failure, *(seen.failure for seen in says.slots)]
            assert "secret" not in repr((says.service, failures))
            for url in filter(None, (seen.url for seen in says.slots)):
                assert heard is not Heard.PUSHED
                assert url.lower().startswith(("http://", "https://", "data:image/"))

    @pytest.mark.parametrize("place", ["output", "message", "meta", "id", "nsfw_content_detected"])
    def test_no_depth_breaks_it(self, place: str) -> None:
        """Around the depth at which the interpreter gives up, too."""
        depths = (10, 100, *range(850, 1000, 5), 10_000)
        for depth, (opening, closing) in product(depths, [(b"[", b"]"), (b'{"a":', b"}")]):
            nested = opening * depth + b"0" + closing * depth
            answer = b'{"id": "7", "prompt": "a", "status": "failed", "%s": %s}'
            for heard in Heard:
                body = answer % (place.encode(), nested)
                understood(heard, delivery(heard, FETCHED, body, 200, body))

    @given(st.lists(OBSERVATIONS, max_size=6), st.data())
    def test_order_and_repetition_do_not_matter(
        self, heard: list[tuple[Observation, ...]], data: st.DataObject
    ) -> None:
        """Whatever is said of one generation, in whatever order, how often soever."""
        said = [says for says in sum(heard, ()) if says.generation_id == "7"]
        placed = list(enumerate(said, start=1))
        again = data.draw(st.lists(st.sampled_from(placed), max_size=3)) if placed else []

        assert merged(data.draw(st.permutations(placed + again))) == merged(placed)
