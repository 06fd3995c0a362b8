"""From a delivery to what it says, by the table of providers."""

from __future__ import annotations

import gzip

import pytest

from archiver.errors import UnreadableError
from archiver.models import Delivery, DeliveryRef, Heard
from receiver.providers import PROVIDERS, observations
from tests.clocks import NOON
from tests.receiver.providers.samples import sample


def delivery(
    body: bytes | None,
    *,
    source: str = "doitong",
    heard: Heard = Heard.PUSHED,
    path_token: str = "",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Delivery:
    return Delivery(
        ref=DeliveryRef(inbox="inbox", position=1),
        source=source,
        heard=heard,
        path_token=path_token,
        received_at=NOON,
        peer="192.0.2.1",
        verified_by="2026-11",
        headers=headers,
        body=body,
    )


def test_each_provider_stands_under_its_own_name() -> None:
    """The name in the table is the one in its observations."""
    assert {name: provider.name for name, provider in PROVIDERS.items()} == {"doitong": "doitong"}


def test_a_webhook_is_decoded_before_it_is_parsed() -> None:
    """The wire's bytes are what was signed; what was meant is inside them."""
    headers, body = sample("doitong/webhook-flux-pro")
    plain = delivery(body, headers=headers)
    squeezed = delivery(gzip.compress(body), headers=(*headers, (b"Content-Encoding", b"gzip")))
    (observation,) = observations(plain)

    assert observation.generation_id == "abc123xyz"
    assert observations(squeezed) == (observation,)


def test_a_remembered_request_is_of_the_generation_in_its_path() -> None:
    """The request itself was written before there was an id."""
    _, body = sample("doitong/rest-flux-pro")
    (observation,) = observations(delivery(body, heard=Heard.REMEMBERED, path_token="hello"))

    assert observation.generation_id == "hello"


@pytest.mark.parametrize(
    ("unreadable", "reason"),
    [
        (delivery(b"{}", source="midjourney"), "no provider is called 'midjourney'"),
        (delivery(None), "pruned"),
        (delivery(b"{}", headers=((b"content-encoding", b"br"),)), "content-encoding 'br'"),
        (delivery(b"[]"), "not an object"),
    ],
    ids=["an unknown source", "a pruned body", "an unknown encoding", "no object"],
)
def test_what_cannot_be_read_says_why(unreadable: Delivery, reason: str) -> None:
    """The delivery is set aside with this sentence."""
    with pytest.raises(UnreadableError, match=reason):
        observations(unreadable)
