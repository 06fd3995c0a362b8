"""EventBridge's side: keys, certificates and signed headers, made by code of its own."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

OURS = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ANOTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)

DAY = timedelta(days=1)
Pairs = list[tuple[bytes, bytes]]


def certificate(
    now: datetime,
    key: Any = OURS,
    *,
    public_key: Any = None,
    begun: timedelta = DAY,
    left: timedelta = DAY,
) -> bytes:
    """A certificate in PEM for `key`, or for `public_key` signed by it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "eventbridge")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public_key or key.public_key())
        .serial_number(7)
        .not_valid_before(now - begun)
        .not_valid_after(now + left)
        .sign(key, SHA256())
    )
    return built.public_bytes(Encoding.PEM)


def signed(
    url: str,
    body: bytes,
    *,
    certificate_url: str,
    at: datetime,
    key: rsa.RSAPrivateKey = OURS,
    token: str | None = "rule token",
    end: bytes = b"",
) -> Pairs:
    """The headers that EventBridge would send; `end` follows the body in what is signed."""
    headers = [
        ("x-eventbridge-signature-timestamp", str(round(at.timestamp() * 1000))),
        ("x-eventbridge-hash-method", "SHA256"),
        ("x-eventbridge-signature-version", "1.0"),
        ("x-eventbridge-signature-url", certificate_url),
    ]
    if token is not None:
        headers.append(("x-eventbridge-signature-token", token))
    lines = "".join(f"{name}: {value}\n" for name, value in headers)
    signature = key.sign(f"{url}\n{lines}".encode() + body + end, padding.PKCS1v15(), SHA256())
    headers.append(("x-eventbridge-signature-v2", b64encode(signature).decode()))
    return [(name.encode(), value.encode()) for name, value in headers]


def with_header(pairs: Pairs, name: bytes, *values: bytes) -> Pairs:
    """The same headers but for these values of one, which may be none or several."""
    others = [pair for pair in pairs if pair[0] != name]
    return [*others, *((name, value) for value in values)]
