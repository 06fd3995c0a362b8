"""DashScope's events: believed is what EventBridge's certificate signed for our rules, now."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from archiver.egress import EgressPolicy
from receiver import eventbridge
from receiver.eventbridge import Certificate, Claim, Terms, judge, read_claim
from tests.clocks import NOON
from tests.fuzz.target import Sabotage, Target
from tests.fuzz.wire import filled, headers_and_body
from tests.receiver.signed_events import OURS

URL = "https://hooks.example.org/webhooks/dashscope"
HOSTS = ("*-eventbridge.oss-accelerate.aliyuncs.com", "one.example")
TOKENS = ("rule token", "another")
TERMS = Terms(certificate_hosts=HOSTS, policy=EgressPolicy(), tokens=TOKENS)
CERTIFICATE = Certificate(
    key=OURS.public_key(), valid_from=NOON, valid_until=NOON + timedelta(days=1)
)
NAMES = (
    b"x-eventbridge-signature-timestamp",
    b"x-eventbridge-hash-method",
    b"x-eventbridge-signature-version",
    b"x-eventbridge-signature-url",
    b"x-eventbridge-signature-token",
)
SIGNATURE = b"x-eventbridge-signature-v2"


def law(data: bytes) -> None:
    """Whoever is believed has signed our URL, each header that counts once, and the body.

    `{signature}` stands for that of what the document says is signed, `{now}` for our clock.
    """
    pairs, body = headers_and_body(data)
    now = str(round(NOON.timestamp() * 1000)).encode()
    told = [(name, filled(value, {b"now": now})) for name, value in pairs]
    signed = string_to_sign(told, body)
    signature = b64encode(OURS.sign(signed, PKCS1v15(), SHA256()))
    headers = [(name, filled(value, {b"signature": signature})) for name, value in told]
    claim = read_claim(headers, TERMS, NOON)
    if not isinstance(claim, Claim):
        assert claim.verified_by is None
        assert claim.reason
        return
    values = {name: [v.strip() for n, v in headers if n.lower() == name] for name in NAMES}
    assert all(len(found) == 1 for found in values.values())
    (at,), _, _, (place,), (token,) = values.values()
    assert abs(int(at) - int(now)) <= 60_000
    assert token.decode() in TOKENS
    parts = urlsplit(place.decode("latin-1"))
    assert (parts.scheme, parts.port or 443) == ("https", 443)
    assert parts.hostname == claim.certificate_host == parts.netloc.partition(":")[0]
    assert parts.hostname.endswith(("-eventbridge.oss-accelerate.aliyuncs.com", "one.example"))
    verdict = judge(claim, CERTIFICATE, URL, body, NOON)
    assert (verdict.verified_by is not None) == is_signed(headers, body)


def string_to_sign(headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """ "Signature algorithm": the URL, the headers in their order, the body."""
    given = {name.lower(): value.strip() for name, value in headers}
    lines = [name + b": " + given[name] for name in NAMES if name in given]
    return b"\n".join([URL.encode(), *lines, body])


def is_signed(headers: list[tuple[bytes, bytes]], body: bytes) -> bool:
    """By our key over that text, or over that and the vendor's SDK's line feed."""
    given = {name.lower(): value.strip() for name, value in headers}
    signature = eventbridge.b64decode(given[SIGNATURE])
    for end in (b"", b"\n"):
        try:
            text = string_to_sign(headers, body) + end
            OURS.public_key().verify(signature, text, PKCS1v15(), SHA256())
        except InvalidSignature:
            continue
        return True
    return False


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="checking the signature", owner=eventbridge, name="_is_signed", instead=lambda *_: True
    ),
    words=(
        *(name + b": " for name in (*NAMES, SIGNATURE)),
        *(b"{signature}", b"{now}", b"rule token", b"https://one.example/a.pem", b"\n\n"),
    ),
)
