"""The secrets of Standard Webhooks, and what is signed with them for a receiver to verify."""

from __future__ import annotations

from base64 import b64encode

from standardwebhooks import Webhook, WebhookVerificationError

from archiver import clock, standard_webhooks
from archiver.standard_webhooks import key_of, signed_headers
from tests.fuzz.target import Sabotage, Target

OTHER_KEY = b"\1" * 32
OTHER = Webhook(f"whsec_{b64encode(OTHER_KEY).decode()}")


def law(data: bytes) -> None:
    """A secret is taken or refused unsaid; what it signs its library verifies, and no other's.

    The secret is the first line, what is signed the rest.
    """
    first, _, body = data.partition(b"\n")
    secret = first.decode("utf-8", "surrogateescape")
    try:
        key = key_of(secret)
    except ValueError as error:
        assert len(secret) < 8 or secret not in str(error)
        return
    assert secret.startswith("whsec_")
    assert 24 <= len(key) <= 64
    headers = signed_headers([key], message_id="m", at=clock.now(), body=body)
    webhook = Webhook(secret)
    text = body.decode("utf-8", "replace")
    if text.encode() != body:
        return
    _verify(webhook, text, headers)
    try:
        _verify(OTHER, text, headers)
    except WebhookVerificationError:
        return
    assert key == OTHER_KEY


def _verify(webhook: Webhook, text: str, headers: dict[str, str]) -> None:
    try:
        webhook.verify(text, headers)
    except ValueError:
        return  # it is signed, and no JSON, which is no matter of signing


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="asking for 24 bytes",
        owner=standard_webhooks,
        name="_SHORTEST_KEY_BYTES",
        instead=0,
    ),
    words=(b"whsec_", b64encode(bytes(32)), b64encode(bytes(24)), b"==", b"{}", b"\n"),
)
