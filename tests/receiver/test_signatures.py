"""Only what one of our secrets signed is believed, and nothing at all can raise."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import ConfigError
from receiver.signatures import DOITONG_HEADER, Verdict, Verifier, sign
from receiver.simulator.signing import hmac_sha256_hex

# "Validating webhook deliveries", "Testing the webhook payload validation" of GitHub's docs:
# the same scheme under another header's name.
GITHUB_HEADER = "X-Hub-Signature-256"
GITHUB_SECRET = "It's a Secret to Everybody"
GITHUB_BODY = b"Hello, World!"
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

BODY = b'{"id": "abc123xyz"}'
SECRETS = {"2026-11": "new secret", "2026-10": "öld secret"}
VERIFIER = Verifier(DOITONG_HEADER, SECRETS)
NAME = DOITONG_HEADER.encode()
GOOD = sign(SECRETS["2026-11"], BODY).encode()
DIGEST = GOOD.removeprefix(b"sha256=")

MISSING = "no signature header"
DOUBLED = "more than one signature header"
MALFORMED = "the signature is not sha256=<64 hex digits>"
WRONG = "the signature matches none of our secrets"

SECRET_TEXTS = st.text(min_size=1).filter(str.strip)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([NAME, NAME.lower(), NAME.upper(), b"Content-Type"]) | st.binary(),
        st.sampled_from([GOOD, b"sha256=", DIGEST, b"sha256=" + b"\xe9" * 64]) | st.binary(),
    ),
    max_size=3,
)


def verified(*values: bytes, name: bytes = NAME, body: bytes = BODY) -> Verdict:
    """The verdict on a body with these signature headers."""
    return VERIFIER.verify([(name, value) for value in values], body)


def test_githubs_vector() -> None:
    """The published example of this scheme is signed and verified as published."""
    verifier = Verifier(GITHUB_HEADER, {"theirs": GITHUB_SECRET})
    headers = [(GITHUB_HEADER.encode(), GITHUB_SIGNATURE.encode())]

    assert sign(GITHUB_SECRET, GITHUB_BODY) == GITHUB_SIGNATURE
    assert verifier.verify(headers, GITHUB_BODY) == Verdict(verified_by="theirs", reason="")


@given(SECRET_TEXTS, st.binary())
def test_signs_as_another_library_does(secret: str, body: bytes) -> None:
    """The simulator's signer shares no code with ours, and agrees."""
    assert sign(secret, body) == f"sha256={hmac_sha256_hex(secret.encode(), body)}"


@given(st.dictionaries(st.text(), SECRET_TEXTS, min_size=1, max_size=4), st.binary(), st.data())
def test_any_of_several_secrets_verifies(
    secrets: dict[str, str], body: bytes, data: st.DataObject
) -> None:
    """What one of them signed is verified, and the verdict says by which."""
    label = data.draw(st.sampled_from(sorted(secrets)))
    headers = [(NAME, sign(secrets[label], body).encode())]
    verdict = Verifier(DOITONG_HEADER, secrets).verify(headers, body)

    assert verdict.reason == ""
    assert verdict.verified_by is not None
    assert secrets[verdict.verified_by] == secrets[label]


@pytest.mark.parametrize("label", SECRETS)
def test_the_verdict_names_the_secret(label: str) -> None:
    """So that an operator sees when the old one is no longer used."""
    assert verified(sign(SECRETS[label], BODY).encode()).verified_by == label


ACCEPTED = {
    "as documented": [(NAME, GOOD)],
    "the name in lower case": [(NAME.lower(), GOOD)],
    "the digits in upper case": [(NAME, b"sha256=" + DIGEST.upper())],
    "white space around it": [(NAME, b" \t" + GOOD + b" ")],
    "among others": [(b"X-Hub-Signature", b"sha1=ab"), (NAME, GOOD), (b"", b"")],
}

REJECTED: dict[str, tuple[list[tuple[bytes, bytes]], str]] = {
    "no headers": ([], MISSING),
    "another header": ([(b"X-Hub-Signature-256", GOOD)], MISSING),
    "a longer name": ([(NAME + b"-256", GOOD)], MISSING),
    "the same twice": ([(NAME, GOOD), (NAME, GOOD)], DOUBLED),
    "twice, in two cases": ([(NAME, GOOD), (NAME.upper(), b"")], DOUBLED),
    "empty": ([(NAME, b"")], MALFORMED),
    "only the prefix": ([(NAME, b"sha256=")], MALFORMED),
    "no prefix": ([(NAME, DIGEST)], MALFORMED),
    "the prefix of another": ([(NAME, b"sha1=" + DIGEST)], MALFORMED),
    "the prefix in upper case": ([(NAME, b"SHA256=" + DIGEST)], MALFORMED),
    "something before the prefix": ([(NAME, b"x" + GOOD)], MALFORMED),
    "a space after the prefix": ([(NAME, b"sha256= " + DIGEST)], MALFORMED),
    "two in one": ([(NAME, GOOD + b"," + GOOD)], MALFORMED),
    "a digit too few": ([(NAME, GOOD[:-1])], MALFORMED),
    "a digit too many": ([(NAME, GOOD + b"0")], MALFORMED),
    "no hex": ([(NAME, b"sha256=" + b"g" * 64)], MALFORMED),
    "base64": ([(NAME, b"sha256=dXEH6g6yUJ/CESIcyphLijdXC211hsIsRvQ3nI+wThc=")], MALFORMED),
    "no ASCII": ([(NAME, b"sha256=" + b"\xe9" * 64)], MALFORMED),
    "digits of another script": ([(NAME, b"sha256=" + "٣".encode() * 32)], MALFORMED),
    "a line within": ([(NAME, GOOD[:40] + b"\n" + GOOD[41:])], MALFORMED),
    "a NUL at its end": ([(NAME, GOOD + b"\0")], MALFORMED),
    "another secret": ([(NAME, sign("neither", BODY).encode())], WRONG),
    "another body": ([(NAME, sign(SECRETS["2026-11"], b"{}").encode())], WRONG),
    "nothing but zeros": ([(NAME, b"sha256=" + b"0" * 64)], WRONG),
}


@pytest.mark.parametrize("headers", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(headers: list[tuple[bytes, bytes]]) -> None:
    """What HTTP leaves open is not held against the sender."""
    assert VERIFIER.verify(headers, BODY) == Verdict(verified_by="2026-11", reason="")


@pytest.mark.parametrize(("headers", "reason"), REJECTED.values(), ids=REJECTED)
def test_rejected(headers: list[tuple[bytes, bytes]], reason: str) -> None:
    """Everything else is refused, with the reason that an operator needs.

    Only of what is well formed another secret might have been the one.
    """
    hopeless = reason != WRONG
    expected = Verdict(verified_by=None, reason=reason, hopeless=hopeless)
    assert VERIFIER.verify(headers, BODY) == expected


@given(HEADERS, st.sampled_from([BODY, b""]) | st.binary())
def test_is_total(headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """No headers and no body raise; without the one good header the verdict is no."""
    verdict = VERIFIER.verify(headers, body)

    ours = [value for name, value in headers if name.lower() == NAME.lower()]
    good = len(ours) == 1 and ours[0].strip() == GOOD and body == BODY
    assert (verdict.verified_by is not None) == good
    assert bool(verdict.reason) != good


@given(st.binary(min_size=1), st.data())
def test_one_byte_changed_is_another_body(body: bytes, data: st.DataObject) -> None:
    """Any byte to any other value, or one more, or one less, and it is no longer signed."""
    at = data.draw(st.integers(0, len(body) - 1))
    bits = data.draw(st.integers(1, 255))
    signature = sign(SECRETS["2026-10"], body).encode()
    changed = body[:at] + bytes([body[at] ^ bits]) + body[at + 1 :]

    assert verified(signature, body=body).verified_by == "2026-10"
    for forged in (changed, body[:-1], body + b"\0"):
        assert verified(signature, body=forged).reason == WRONG


@given(st.integers(0, 63), st.integers(1, 15))
def test_one_digit_changed_is_another_signature(at: int, by: int) -> None:
    """Each of its 64 digits counts."""
    digit = f"{int(DIGEST[at : at + 1], 16) ^ by:x}".encode()
    forged = b"sha256=" + DIGEST[:at] + digit + DIGEST[at + 1 :]

    assert verified(forged).reason == WRONG


def test_one_body_leaves_no_trace_in_the_next() -> None:
    """A verifier is used for all requests, each of which begins afresh."""
    for _ in range(2):
        assert verified(GOOD).verified_by == "2026-11"
        assert verified(GOOD, body=b"{}").reason == WRONG


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        ({}, "no webhook secret is configured"),
        ({"2026-11": ""}, "labelled '2026-11' is empty"),
        ({"2026-11": " \n"}, "labelled '2026-11' is empty"),
        ({"2026-10": "good", "2026-11": ""}, "labelled '2026-11' is empty"),
    ],
)
def test_an_empty_secret_is_refused(secrets: dict[str, str], message: str) -> None:
    """Anybody could sign with it."""
    with pytest.raises(ConfigError, match=re.escape(message)):
        Verifier(DOITONG_HEADER, secrets)
