"""Doitong's signed webhooks: believed is what was signed with a secret of ours, and no more."""

from __future__ import annotations

import hashlib
import hmac

from receiver.signatures import Verifier
from tests.fuzz.target import Sabotage, Target
from tests.fuzz.wire import filled, headers_and_body

SECRETS = {"new": "whsec after", "old": "whsec before"}
STRANGER = "whsec of somebody else"
REASONS = {
    "no signature header",
    "more than one signature header",
    "the signature is not sha256=<64 hex digits>",
    "the signature matches none of our secrets",
}
VERIFIER = Verifier("X-Doitong-Signature", SECRETS)


def digest(secret: str, body: bytes) -> bytes:
    """RFC 2104 step by step, so that nothing is shared with what is tested."""
    key = secret.encode().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + body).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest().encode()


def law(data: bytes) -> None:
    """The label of the secret that signed it, or one of four sentences, none of them a stranger's.

    `{new}`, `{old}` and `{stranger}` in a header stand for the digests of the body.
    """
    pairs, body = headers_and_body(data)
    digests = {label: digest(secret, body) for label, secret in SECRETS.items()}
    blanks = {label.encode(): value for label, value in digests.items()}
    blanks[b"stranger"] = digest(STRANGER, body)
    headers = [(name, filled(value, blanks)) for name, value in pairs]
    claims = [value.strip() for name, value in headers if name.lower() == b"x-doitong-signature"]
    claim = claims[0] if len(claims) == 1 else b""
    signed = [
        label
        for label, value in digests.items()
        if claim.startswith(b"sha256=") and claim[7:].lower() == value
    ]
    verdict = VERIFIER.verify(headers, body)
    assert verdict.verified_by == next(iter(signed), None)
    assert signed or verdict.reason in REASONS
    assert verdict == VERIFIER.verify(headers, body)


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="comparing the digests", owner=hmac, name="compare_digest", instead=lambda *_: True
    ),
    words=(b"x-doitong-signature:", b"X-Doitong-Signature: ", b"sha256=", b"{new}", b"{old}"),
)
