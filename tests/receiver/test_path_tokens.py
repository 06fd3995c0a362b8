"""Only a path that we made opens the door, and nothing that a path may hold can raise."""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import ConfigError
from receiver.path_tokens import MAX_NONCE_BYTES, PathTokens, mint
from receiver.signatures import Verdict

SECRETS = {"2026-11": "new secret", "2026-10": "öld secret"}
TOKENS = PathTokens(SECRETS)
TOKEN = mint("new secret", b"a nonce")
NONCE, MAC = TOKEN.split(".")
PLAIN = urlsafe_b64encode(hmac.digest(b"new secret", NONCE.encode(), "sha256")).decode()[:24]

MALFORMED = "the path does not end in a token of the form <nonce>.<mac>"
WRONG = "the path's token was made with none of our secrets"

NONCES = st.binary(min_size=1, max_size=MAX_NONCE_BYTES)
SECRET_TEXTS = st.text(min_size=1).filter(str.strip)


def verified(token: str, query: str = "", body: bytes = b"{}") -> Verdict:
    """The verdict on a request to our path with this end."""
    return TOKENS.verify([], body, f"/webhooks/modelslab/{token}{query}")


@given(SECRET_TEXTS, NONCES)
def test_a_token_is_a_nonce_and_its_mac(secret: str, nonce: bytes) -> None:
    """Both in base64url without padding; the MAC is 144 bits of HMAC-SHA256 for this purpose."""
    text = urlsafe_b64encode(nonce).rstrip(b"=")
    digest = hmac.digest(secret.encode(), b"holdfast webhook token" + text, "sha256")
    assert mint(secret, nonce) == f"{text.decode()}.{urlsafe_b64encode(digest)[:24].decode()}"


@given(st.dictionaries(st.text(), SECRET_TEXTS, min_size=1, max_size=4), NONCES, st.data())
def test_any_of_several_secrets_verifies(
    secrets: dict[str, str], nonce: bytes, data: st.DataObject
) -> None:
    """What one of them made is verified, says by which, and only the nonce may be kept."""
    label = data.draw(st.sampled_from(sorted(secrets)))
    token = mint(secrets[label], nonce)
    verdict = PathTokens(secrets).verify([], b"", f"/webhooks/modelslab/{token}")

    assert verdict.verified_by is not None
    assert secrets[verdict.verified_by] == secrets[label]
    assert (verdict.path_token, verdict.path_secret.decode()) == tuple(token.split("."))


@pytest.mark.parametrize("query", ["", "?", "?a=/b.c", "?" + TOKEN + "x"])
def test_a_query_is_no_part_of_the_token(query: str) -> None:
    """Whatever the provider appends."""
    assert verified(TOKEN, query).verified_by == "2026-11"


REFUSED = {
    "nothing": ("", MALFORMED),
    "no token": ("modelslab", MALFORMED),
    "only the nonce": (NONCE, MALFORMED),
    "only the nonce and a dot": (NONCE + ".", MALFORMED),
    "only the MAC": ("." + MAC, MALFORMED),
    "a MAC cut short": (TOKEN[:-1], MALFORMED),
    "a MAC too long": (TOKEN + "A", MALFORMED),
    "a line feed at its end": (TOKEN + "\n", MALFORMED),
    "padding": (TOKEN + "=", MALFORMED),
    "an escaped dot": (TOKEN.replace(".", "%2E"), MALFORMED),
    "an escaped letter": (f"%{ord(TOKEN[0]):02X}{TOKEN[1:]}", MALFORMED),
    "two dots": (f"{NONCE}..{MAC}", MALFORMED),
    "letters of another script": (f"{NONCE}.{'а' * 24}", MALFORMED),
    "digits of another script": (f"{NONCE}.{'٣' * 24}", MALFORMED),
    "a surrogate": (f"{NONCE}.{MAC[:-1]}\udce9", MALFORMED),
    "a nonce too long": (f"{'A' * 87}.{MAC}", MALFORMED),
    "the query's": ("?" + TOKEN, MALFORMED),
    "another nonce": (f"A{NONCE}.{MAC}", WRONG),
    "another spelling of the nonce": (f"{NONCE[:-1]}{chr(ord(NONCE[-1]) + 1)}.{MAC}", WRONG),
    "another MAC": (f"{NONCE}.{MAC[:-1]}{'A' if MAC[-1] != 'A' else 'B'}", WRONG),
    "nothing but zeros": (f"{NONCE}.{'A' * 24}", WRONG),
    "another secret": (mint("neither", b"a nonce"), WRONG),
    "a digest for another purpose": (f"{NONCE}.{PLAIN}", WRONG),
}


@pytest.mark.parametrize(("token", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(token: str, reason: str) -> None:
    """Everything else, and none of it names a token that could be kept."""
    verdict = verified(token)
    assert (verdict.verified_by, verdict.reason, verdict.path_token) == (None, reason, "")


@given(st.text() | st.binary().map(lambda wire: wire.decode("utf-8", "surrogateescape")))
def test_is_total(target: str) -> None:
    """No path raises, and none that we did not make is verified."""
    for path in (target, f"/webhooks/modelslab/{target}", f"{NONCE}.{target}"):
        verdict = TOKENS.verify([], b"", path)
        assert (verdict.verified_by is not None) == (
            path.partition("?")[0].rpartition("/")[2] == TOKEN
        )


@pytest.mark.parametrize("nonce", [b"", b"x" * (MAX_NONCE_BYTES + 1)])
def test_a_nonce_that_no_path_could_hold_is_refused(nonce: bytes) -> None:
    """What is minted is verified, so what cannot be is not minted."""
    with pytest.raises(ValueError, match="1 to 64 bytes"):
        mint("secret", nonce)


@pytest.mark.parametrize("secrets", [{}, {"a": ""}, {"a": "good", "b": " \n"}])
def test_an_empty_secret_is_refused(secrets: dict[str, str]) -> None:
    """Anybody could mint with it."""
    with pytest.raises(ConfigError, match=re.escape("webhook secret")):
        PathTokens(secrets)
    with pytest.raises(ConfigError, match="is empty"):
        mint(" ", b"nonce")
