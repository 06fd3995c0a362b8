"""ModelsLab's unguessable paths: a token is good if its second half was made of its first."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode

from receiver import path_tokens
from receiver.path_tokens import PathTokens
from tests.fuzz.target import Sabotage, Target
from tests.fuzz.wire import filled

SECRETS = {"new": "whsec after", "old": "whsec before"}
STRANGER = "whsec of somebody else"
TOKENS = PathTokens(SECRETS)
LAST = re.compile(rb"[^?]*/([A-Za-z0-9_-]{1,86})\.([A-Za-z0-9_-]{24})")


def mac(secret: str, nonce: bytes) -> bytes:
    """144 bits of HMAC-SHA256 over what the token is for and its nonce."""
    signed = hmac.digest(secret.encode(), b"holdfast webhook token" + nonce, hashlib.sha256)
    return urlsafe_b64encode(signed[:18])


def law(data: bytes) -> None:
    """Good for one of our secrets, whatever stands before it; what may be kept is the nonce alone.

    `{new}`, `{old}` and `{stranger}` stand for the second halves.
    """
    before = data.partition(b"?")[0].rpartition(b"/")[2].partition(b".")[0]
    blanks = {label.encode(): mac(secret, before) for label, secret in SECRETS.items()}
    path = filled(data, {**blanks, b"stranger": mac(STRANGER, before)})
    verdict = TOKENS.verify([], b"", path.decode("utf-8", "surrogateescape"))
    found = LAST.fullmatch(b"/" + path.partition(b"?")[0])
    made_by = [
        label for label, secret in SECRETS.items() if found and mac(secret, found[1]) == found[2]
    ]
    assert verdict.verified_by == next(iter(made_by), None)
    assert verdict.path_token.encode() == (found[1] if found and made_by else b"")
    assert verdict.path_secret == (found[2] if found else b"")
    assert verdict.path_secret.decode() not in verdict.reason or not found


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="saying what a token is for", owner=path_tokens, name="_PURPOSE", instead=b""
    ),
    words=(b"/webhooks/modelslab/", b".{new}", b".{old}", b".{stranger}", b"?"),
)
