"""Is it really from Alibaba Cloud's EventBridge: RSA-SHA256 over URL, headers and raw body.

"Signature algorithm" (help.aliyun.com/en/eventbridge/user-guide/signature-algorithm), version 2.
The certificate is to be fetched from a URL that stands in the request, so what is read here before
it is fetched is a stranger's word. Everything here is total: no request and no certificate raises.
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from archiver.egress.policy import EgressPolicy, permitted_url
from archiver.errors import FetchError
from receiver.signatures import Headers, Verdict, rejected

VERIFIED_BY = "eventbridge"
TOLERANCE_SECONDS = 60
MIN_KEY_BITS = 1024

SIGNATURE = b"x-eventbridge-signature-v2"
TIMESTAMP = b"x-eventbridge-signature-timestamp"
CERTIFICATE_URL = b"x-eventbridge-signature-url"
TOKEN = b"x-eventbridge-signature-token"
_REQUIRED = (
    TIMESTAMP,
    b"x-eventbridge-hash-method",
    b"x-eventbridge-signature-version",
    CERTIFICATE_URL,
)
# In the order in which they are signed; a rule without a token sends no token.
_SIGNED = (*_REQUIRED, TOKEN)

# So plain that no two readers of URLs can disagree where its host ends.
_PLAIN_URL = re.compile(r"https?://([a-z0-9.-]{1,253})(?::[0-9]{1,5})?/[!-\"$-~]{0,1000}").fullmatch
_MILLISECONDS = re.compile(rb"[0-9]{1,16}").fullmatch

_VERIFIED = Verdict(verified_by=VERIFIED_BY, reason="")


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What a request must keep to before its certificate is fetched.

    `certificate_hosts` are names in which `*` stands for a part of one label. `tokens` are those
    of our own rules; EventBridge signs for any customer of Alibaba Cloud, so a rule's token is
    what tells our account's events from a stranger's. Without any, no token is asked for.
    """

    certificate_hosts: Collection[str]
    policy: EgressPolicy
    tokens: Collection[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A request's claim to be EventBridge's, in good form and still to be proved."""

    certificate_url: str
    certificate_host: str
    lines: bytes
    signature: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """What verifying needs of an X.509 certificate; `key` is None if it is unfit for that."""

    key: RSAPublicKey | None
    valid_from: datetime
    valid_until: datetime


def read_claim(headers: Headers, terms: Terms, now: datetime) -> Claim | Verdict:
    """The claim that the headers make, or why they make none."""
    given: dict[bytes, bytes] = {}
    for name, value in headers:
        known = name.lower()
        if known == SIGNATURE or known in _SIGNED:
            if known in given:
                return rejected("a signature header stands there twice", hopeless=True)
            given[known] = value.strip()
    if not all(map(given.get, (SIGNATURE, *_REQUIRED))):
        return rejected("a signature header is missing", hopeless=True)
    if not _is_timely(given[TIMESTAMP], now):
        return rejected(f"the timestamp is not within {TOLERANCE_SECONDS} s of our clock")
    if terms.tokens and not _is_ours(given.get(TOKEN, b""), terms.tokens):
        return rejected("the token is none of our rules'")
    url = given[CERTIFICATE_URL].decode("latin-1")
    host = _certificate_host(url, terms)
    if host is None:
        return rejected("the certificate's URL is not one of EventBridge's")
    try:
        signature = b64decode(given[SIGNATURE], validate=True)
    except binascii.Error:
        return rejected("the signature is not base64", hopeless=True)
    lines = b"\n".join(name + b": " + given[name] for name in _SIGNED if name in given)
    return Claim(certificate_url=url, certificate_host=host, lines=lines, signature=signature)


def string_to_sign(url: str, lines: bytes, body: bytes) -> bytes:
    """What is signed: our URL as EventBridge knows it, the headers' lines, the body."""
    return b"\n".join((url.encode("utf-8", "surrogateescape"), lines, body))


def judge(claim: Claim, certificate: Certificate, url: str, body: bytes, now: datetime) -> Verdict:
    """Whether the certificate's key signed it."""
    if certificate.key is None:
        return rejected(f"the certificate holds no RSA key of {MIN_KEY_BITS} bits or more")
    if not certificate.valid_from <= now <= certificate.valid_until:
        return rejected("the certificate is not valid now")
    documented = string_to_sign(url, claim.lines, body)
    # The document ends with the body, the vendor's own SDK (alibabacloud-eventbridge-sdk,
    # StringToSignBuilder) with one more line feed.
    for signed in (documented, documented + b"\n"):
        if _is_signed(signed, claim.signature, certificate.key):
            return _VERIFIED
    return rejected("the signature does not fit")


def read_certificate(pem: bytes) -> Certificate | None:
    """The first certificate in `pem`, or None if there is none that can be read."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        valid_from = certificate.not_valid_before_utc
        valid_until = certificate.not_valid_after_utc
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm):
        return None
    return Certificate(
        key=_fit_key(certificate),
        valid_from=valid_from,
        valid_until=valid_until,
    )


def _fit_key(certificate: x509.Certificate) -> RSAPublicKey | None:
    try:
        key = certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, RSAPublicKey) and key.key_size >= MIN_KEY_BITS else None


def _is_signed(signed: bytes, signature: bytes, key: RSAPublicKey) -> bool:
    try:
        key.verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _is_timely(timestamp: bytes, now: datetime) -> bool:
    if _MILLISECONDS(timestamp) is None:
        return False
    return abs(int(timestamp) - round(now.timestamp() * 1000)) <= TOLERANCE_SECONDS * 1000


def _is_ours(token: bytes, tokens: Collection[str]) -> bool:
    return any(hmac.compare_digest(token, ours.encode()) for ours in tokens)


def _certificate_host(url: str, terms: Terms) -> str | None:
    """The host to fetch the certificate from, if it may be."""
    plain = _PLAIN_URL(url)
    if plain is None or not any(_matches(plain[1], it) for it in terms.certificate_hosts):
        return None
    try:
        permitted_url(url, (plain[1],), terms.policy)
    except FetchError:
        return None
    return plain[1]


def _matches(host: str, pattern: str) -> bool:
    labels = re.escape(pattern.lower()).replace(r"\*", "[a-z0-9-]+")
    return re.fullmatch(labels, host) is not None
