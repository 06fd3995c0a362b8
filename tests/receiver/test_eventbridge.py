"""Only what EventBridge signed for our address is believed, and nothing can raise."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from archiver.egress import EgressPolicy
from receiver.eventbridge import (
    CERTIFICATE_URL,
    SIGNATURE,
    TIMESTAMP,
    TOKEN,
    Claim,
    Terms,
    judge,
    read_certificate,
    read_claim,
    string_to_sign,
)
from receiver.signatures import Verdict
from tests.clocks import NOON
from tests.receiver.signed_events import (
    ANOTHER,
    OURS,
    SHORT,
    Pairs,
    certificate,
    signed,
    with_header,
)

HOST = "cn-beijing-eventbridge.oss-accelerate.aliyuncs.com"
PEM_URL = f"https://{HOST}/x509_public_certificate_2021012501.pem"
URL = "https://hooks.example.org/webhooks/dashscope?rule=%2b+/"
BODY = '{"id":"1","type":"dashscope:System:AsyncTaskFinish","data":{"x":"图"}}'.encode()
TERMS = Terms(
    certificate_hosts=("*-eventbridge.oss-accelerate.aliyuncs.com",), policy=EgressPolicy()
)
GOOD = signed(URL, BODY, certificate_url=PEM_URL, at=NOON)
PEM = certificate(NOON)
VERIFIED = Verdict(verified_by="eventbridge", reason="")

MISSING = "a signature header is missing"
DOUBLED = "a signature header stands there twice"
UNTIMELY = "the timestamp is not within 60 s of our clock"
STRANGE_URL = "the certificate's URL is not one of EventBridge's"
WRONG = "the signature does not fit"
WEAK = "the certificate holds no RSA key of 1024 bits or more"
METHOD, VERSION = b"x-eventbridge-hash-method", b"x-eventbridge-signature-version"
REQUIRED = (TIMESTAMP, METHOD, VERSION, CERTIFICATE_URL, SIGNATURE)


def verdict_on(
    headers: Pairs, *, pem: bytes = PEM, url: str = URL, body: bytes = BODY, terms: Terms = TERMS
) -> Verdict:
    """The verdict on a request when that certificate is at hand."""
    claim = read_claim(headers, terms, NOON)
    if isinstance(claim, Verdict):
        return claim
    known = read_certificate(pem)
    assert known is not None
    return judge(claim, known, url, body, NOON)


def shifted(**by: float) -> Pairs:
    """Good headers but for their time."""
    return signed(URL, BODY, certificate_url=PEM_URL, at=NOON + timedelta(**by))


def test_the_string_to_sign() -> None:
    """As the vendor's document puts it together, byte for byte."""
    claim = read_claim(GOOD, TERMS, NOON)
    assert isinstance(claim, Claim)
    millis = str(int(NOON.timestamp())) + "000"
    assert string_to_sign(URL, claim.lines, b"{}").decode() == (
        f"{URL}\n"
        f"x-eventbridge-signature-timestamp: {millis}\n"
        "x-eventbridge-hash-method: SHA256\n"
        "x-eventbridge-signature-version: 1.0\n"
        f"x-eventbridge-signature-url: {PEM_URL}\n"
        "x-eventbridge-signature-token: rule token\n"
        "{}"
    )


ACCEPTED: dict[str, Pairs] = {
    "as documented": GOOD,
    "in another order": random.Random(1).sample(GOOD, len(GOOD)),
    "names in capitals": [(name.upper(), value) for name, value in GOOD],
    "white space around values": [(name, b" " + value + b"\t") for name, value in GOOD],
    "among others": [(b"Host", b"x"), *GOOD, (b"x-eventbridge-signature", b"v1")],
    "of a rule without a token": signed(URL, BODY, certificate_url=PEM_URL, at=NOON, token=None),
    "with the SDK's last line feed": signed(URL, BODY, certificate_url=PEM_URL, at=NOON, end=b"\n"),
    "a minute ago": shifted(seconds=-60),
    "in a minute": shifted(seconds=60),
    "of another region": signed(
        URL, BODY, certificate_url=PEM_URL.replace("cn-beijing", "ap-southeast-1"), at=NOON
    ),
    "with the port said": signed(
        URL, BODY, certificate_url=PEM_URL.replace(".com/", ".com:443/"), at=NOON
    ),
}


@pytest.mark.parametrize("headers", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(headers: Pairs) -> None:
    """What HTTP and the document leave open is not held against the sender."""
    assert verdict_on(headers) == VERIFIED


def garbled(name: bytes, value: bytes) -> Pairs:
    """Good headers but for one value."""
    return with_header(GOOD, name, value)


REJECTED: dict[str, tuple[Pairs, str]] = {
    "nothing": ([], MISSING),
    **{f"no {name!r}": (with_header(GOOD, name), MISSING) for name in REQUIRED},
    **{f"empty {name!r}": (garbled(name, b" "), MISSING) for name in REQUIRED},
    **{
        f"doubled {name!r}": ([*GOOD, (name.upper(), b"x")], DOUBLED) for name in (*REQUIRED, TOKEN)
    },
    "only version 1": ([*with_header(GOOD, SIGNATURE), (SIGNATURE[:-3], b"x")], MISSING),
    "61 s ago": (shifted(seconds=-60, milliseconds=-1), UNTIMELY),
    "in 61 s": (shifted(seconds=60, milliseconds=1), UNTIMELY),
    "in seconds": (garbled(TIMESTAMP, str(int(NOON.timestamp())).encode()), UNTIMELY),
    "no number": (garbled(TIMESTAMP, b"noon"), UNTIMELY),
    "a number with a sign": (garbled(TIMESTAMP, b"+1795262400000"), UNTIMELY),
    "digits of another script": (garbled(TIMESTAMP, "٣".encode() * 13), UNTIMELY),
    "a number without end": (garbled(TIMESTAMP, b"9" * 5000), UNTIMELY),
    "the time changed": (
        garbled(TIMESTAMP, str(int(NOON.timestamp() * 1000) + 1).encode()),
        WRONG,
    ),
    "the method changed": (garbled(METHOD, b"SHA1"), WRONG),
    "the version changed": (garbled(VERSION, b"1.1"), WRONG),
    "the certificate's URL changed": (garbled(CERTIFICATE_URL, PEM_URL.encode() + b"2"), WRONG),
    "the token changed": (garbled(TOKEN, b"rule"), WRONG),
    "the token taken away": (with_header(GOOD, TOKEN), WRONG),
    "no base64": (garbled(SIGNATURE, b"*"), "the signature is not base64"),
    "base64url": (garbled(SIGNATURE, b"-_-_"), "the signature is not base64"),
    "bytes beyond ASCII": (garbled(SIGNATURE, b"\xe9\xff"), "the signature is not base64"),
    "another signature": (garbled(SIGNATURE, b"AAAA"), WRONG),
    "another key": (
        signed(URL, BODY, certificate_url=PEM_URL, at=NOON, key=ANOTHER),
        WRONG,
    ),
    "another rule's address": (
        signed(URL + "x", BODY, certificate_url=PEM_URL, at=NOON),
        WRONG,
    ),
    "two line feeds": (signed(URL, BODY, certificate_url=PEM_URL, at=NOON, end=b"\n\n"), WRONG),
}


@pytest.mark.parametrize(("headers", "reason"), REJECTED.values(), ids=REJECTED)
def test_rejected(headers: Pairs, reason: str) -> None:
    """Everything else is refused, with the reason that an operator needs."""
    verdict = verdict_on(headers)
    assert (verdict.verified_by, verdict.reason) == (None, reason)
    # No setting mends what is not there, or is no signature at all.
    malformed = ("stands there twice", "is missing", "not base64")
    assert verdict.hopeless == reason.endswith(malformed)


@pytest.mark.parametrize("url", [URL[:-1], URL.partition("?")[0], URL.replace("https", "http")])
def test_another_address_is_another_signature(url: str) -> None:
    """The query counts, and the scheme under which EventBridge knows us."""
    assert verdict_on(GOOD, url=url).reason == WRONG


@pytest.mark.parametrize("body", [b"", BODY[:-1], BODY + b" ", BODY.replace(b"1", b"2")])
def test_another_body_is_another_signature(body: bytes) -> None:
    """Each byte of the wire counts."""
    assert verdict_on(GOOD, body=body).reason == WRONG


STRANGE = [
    PEM_URL.replace("https:", "http:"),
    PEM_URL.replace("https:", "HTTPS:"),
    PEM_URL.replace("https://", "//"),
    PEM_URL.replace("https:", "file:"),
    PEM_URL.replace("https://", "https://user@"),
    PEM_URL.replace("https://", "https://user:pass@"),
    PEM_URL.replace("https://", "https://evil.example\\@"),
    PEM_URL.replace("https://", "https://evil.example#@"),
    PEM_URL.replace("https://", "https://evil.example/"),
    PEM_URL.replace("https://", "https://evil.example?"),
    PEM_URL.replace(".com/", ".com.evil.example/"),
    PEM_URL.replace(".com/", ".com./"),
    PEM_URL.replace(".com/", ".com:8443/"),
    PEM_URL.replace(".com/", ".com:/"),
    PEM_URL.replace(".com/", ".com:99999/"),
    PEM_URL.replace("cn-beijing-", "evil.cn-beijing-"),
    PEM_URL.replace("cn-beijing-", "evil.example/x-"),
    PEM_URL.replace("cn-beijing-", ""),
    PEM_URL.replace("cn-beijing-", "%63n-"),
    PEM_URL.replace("cn-beijing-eventbridge", "cn-beijing-eventbridge2"),
    PEM_URL.replace("accelerate", "acceleratex"),
    PEM_URL.replace("oss-accelerate.", "oss-accelerate-"),
    f"https://{HOST}",
    f"https://{HOST}/a b",
    f"https://{HOST}/\u00e9",
    f"https://{HOST}/a#1",
    f"https://{HOST}/" + "a" * 1001,
    "https://127.0.0.1/a.pem",
    "https://[::1]/a.pem",
    "https://2130706433/a.pem",
    "https:///a.pem",
    "https://",
    "a.pem",
]


@pytest.mark.parametrize("url", STRANGE)
def test_a_certificate_from_elsewhere_is_never_asked_for(url: str) -> None:
    """Before anything is fetched the URL is plain, https and on a host of theirs."""
    headers = signed(URL, BODY, certificate_url=url, at=NOON)
    assert read_claim(headers, TERMS, NOON) == Verdict(verified_by=None, reason=STRANGE_URL)


def test_what_egress_permits_is_permitted_here() -> None:
    """For tests and the demo: plain http, a port, an address, if all of them are said."""
    policy = EgressPolicy(allow_http=True, allow_ports=frozenset({8000}))
    terms = Terms(certificate_hosts=("127.0.0.1",), policy=policy)
    for url, permitted in {
        "http://127.0.0.1:8000/a.pem": True,
        "http://127.0.0.1:8001/a.pem": False,
        "http://127.0.0.2:8000/a.pem": False,
        "http://127x0.0.1:8000/a.pem": False,
    }.items():
        claim = read_claim(signed(URL, BODY, certificate_url=url, at=NOON), terms, NOON)
        assert isinstance(claim, Claim) == permitted, url


@pytest.mark.parametrize(
    ("token", "verdict"),
    [
        ("rule token", VERIFIED),
        ("the one before", VERIFIED),
        ("rule toke", Verdict(verified_by=None, reason="the token is none of our rules'")),
        (None, Verdict(verified_by=None, reason="the token is none of our rules'")),
    ],
)
def test_a_stranger_s_rule_is_told_by_its_token(token: str | None, verdict: Verdict) -> None:
    """EventBridge signs for every customer; where our rules' tokens are known, only they do."""
    terms = replace(TERMS, tokens=("rule token", "the one before"))
    headers = signed(URL, BODY, certificate_url=PEM_URL, at=NOON, token=token)
    assert verdict_on(headers, terms=terms) == verdict


TINY = rsa.RSAPublicNumbers(65537, (2**255 - 19) * (2**256 - 189)).public_key()
CURVE = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()

UNFIT = {
    "expired": (certificate(NOON, left=timedelta(seconds=-1)), "the certificate is not valid now"),
    "not yet valid": (
        certificate(NOON, begun=timedelta(seconds=-1)),
        "the certificate is not valid now",
    ),
    "of a key too short": (certificate(NOON, public_key=TINY), WEAK),
    "of an elliptic curve": (certificate(NOON, CURVE), WEAK),
    "of another's signature": (certificate(NOON, OURS, public_key=EDWARDS.public_key()), WEAK),
    "of another key": (certificate(NOON, ANOTHER), WRONG),
}


@pytest.mark.parametrize(("pem", "reason"), UNFIT.values(), ids=UNFIT)
def test_a_certificate_that_is_unfit_proves_nothing(pem: bytes, reason: str) -> None:
    """It must be valid now and hold an RSA key that nobody can factor at home."""
    assert verdict_on(GOOD, pem=pem) == Verdict(verified_by=None, reason=reason)


def test_1024_bits_are_enough() -> None:
    """The shortest key that is taken."""
    headers = signed(URL, BODY, certificate_url=PEM_URL, at=NOON, key=SHORT)
    assert verdict_on(headers, pem=certificate(NOON, SHORT)) == VERIFIED


BARE = OURS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("pem", [b"", b"<html>", PEM[:-60], PEM.replace(b"M", b"*"), BARE])
def test_what_is_no_certificate_is_none(pem: bytes) -> None:
    """A page, half a file, a bare key."""
    assert read_certificate(pem) is None


def test_of_several_certificates_the_first_counts() -> None:
    """A chain begins with its end (RFC 8446 §4.4.2)."""
    assert verdict_on(GOOD, pem=PEM + certificate(NOON, ANOTHER)) == VERIFIED


values = st.sampled_from([value for _, value in GOOD]) | st.binary(max_size=40)
names = st.sampled_from([name for name, _ in GOOD]) | st.binary(max_size=10)


@given(
    st.lists(st.tuples(names, values), max_size=8),
    st.dictionaries(st.sampled_from(REQUIRED), st.binary(max_size=40), max_size=2),
    st.binary(max_size=20) | st.just(BODY),
)
def test_is_total(noise: Pairs, changed: dict[bytes, bytes], body: bytes) -> None:
    """No headers and no body raise, and only the one good request is verified."""
    headers = GOOD
    for name, value in changed.items():
        headers = with_header(headers, name, value)
    for pairs in (noise, headers, [*headers, *noise]):
        known = {name.lower() for name, _ in GOOD}
        ours = {(name.lower(), value.strip()) for name, value in pairs if name.lower() in known}
        times = sum(name.lower() in known for name, _ in pairs)
        good = ours == set(GOOD) and times == len(GOOD) and body == BODY
        assert (verdict_on(pairs, body=body) == VERIFIED) == good


@pytest.mark.filterwarnings("ignore::Warning")
@given(st.integers(0, len(PEM) - 1), st.binary(min_size=1, max_size=3), st.integers(0, 5))
def test_no_damage_to_a_certificate_raises(at: int, noise: bytes, cut: int) -> None:
    """Damaged anywhere it is none, or one that may be judged like any other."""
    known = read_certificate(PEM[:at] + noise + PEM[at + cut :])
    claim = read_claim(GOOD, TERMS, NOON)
    assert isinstance(claim, Claim)
    if known is not None:
        reasons = {"", WRONG, *(reason for _, reason in UNFIT.values())}
        assert judge(claim, known, URL, BODY, NOON).reason in reasons
