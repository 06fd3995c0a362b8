"""A key pair and the certificate by which others know its signatures."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "EventBridge to practise with")])


def new_key() -> RSAPrivateKey:
    """Fresh, 2048 bits; takes a tenth of a second."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def certificate_pem(key: RSAPrivateKey, now: datetime) -> bytes:
    """A certificate of this key, signed by itself, from a day ago for a year."""
    builder = x509.CertificateBuilder(
        issuer_name=_NAME,
        subject_name=_NAME,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=1),
        not_valid_after=now + timedelta(days=365),
    )
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def rsa_sha256_base64(key: RSAPrivateKey, message: bytes) -> str:
    """RSA-SHA256 (PKCS #1 v1.5) of `message` in base64."""
    return b64encode(key.sign(message, PKCS1v15(), SHA256())).decode()
