"""What we sign is verified by the library that receivers use, and nothing else is."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from archiver import clock
from archiver.standard_webhooks import key_of, signed_headers

KEYS = st.binary(min_size=24, max_size=64)
SECRET = f"whsec_{b64encode(bytes(range(32))).decode()}"


def secret_of(key: bytes) -> str:
    return f"whsec_{b64encode(key).decode()}"


@given(st.lists(KEYS, min_size=1, max_size=3), st.text(st.characters(exclude_categories=["Cs"])))
def test_each_secret_verifies(keys: list[bytes], text: str) -> None:
    """While one is being exchanged for another a receiver may know either."""
    body = text.encode()
    headers = signed_headers(keys, message_id="msg_1", at=clock.now(), body=body)
    for key in keys:
        Webhook(secret_of(key)).verify(body, headers, json_parse=False)


@pytest.mark.parametrize("changed", ["body", "webhook-id", "webhook-timestamp", "secret"])
def test_nothing_else_does(changed: str) -> None:
    """Another body, id, moment or secret."""
    body, now = b'{"a":1}', clock.now()
    headers = signed_headers([key_of(SECRET)], message_id="msg_1", at=now, body=body)
    verifier = Webhook(
        secret_of(b"another key of the same size....") if changed == "secret" else SECRET
    )
    if changed == "body":
        body += b" "
    elif changed != "secret":
        later = signed_headers([], message_id="msg_2", at=now + timedelta(seconds=1), body=b"")
        headers[changed] = later[changed]
    with pytest.raises(WebhookVerificationError):
        verifier.verify(body, headers)


def test_the_example_of_the_specification() -> None:
    """Byte for byte what its reference implementations compute."""
    headers = signed_headers(
        [key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at=datetime.fromtimestamp(1614265330, UTC),
        body=b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_not base64, says everybody!!",
        "whsec_" + b64encode(bytes(23)).decode(),
        "whsec_" + b64encode(bytes(65)).decode(),
        "whsec_ümlaut",
    ],
)
def test_what_is_no_secret_is_refused(secret: str) -> None:
    """Too short, too long, or another thing; the error does not tell it on."""
    with pytest.raises(ValueError, match="it is not whsec_") as caught:
        key_of(secret)
    assert not secret.strip("whsec_") or secret not in str(caught.value)
