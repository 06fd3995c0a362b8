"""Certificates made on the spot: an authority of our own, and a leaf that signs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fallback_renderer.settings import Credentials


@dataclass(frozen=True, kw_only=True)
class Made:
    """Files for the settings, and the authority's own certificate in PEM."""

    credentials: Credentials
    authority: bytes


def make(
    folder: Path,
    *,
    key: Any = None,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.EMAIL_PROTECTION,
    days: int = 365,
) -> Made:
    """A chain for `key` (P-256 if none is given) that is valid for so many more days."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _sign(
        authority_key,
        authority_key,
        "authority",
        x509.BasicConstraints(ca=True, path_length=None),
        _usage(key_cert_sign=True, crl_sign=True),
    )
    leaf = _sign(
        key,
        authority_key,
        "renderer",
        x509.BasicConstraints(ca=False, path_length=None),
        _usage(digital_signature=True),
        x509.ExtendedKeyUsage([usage]),
        days=days,
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(leaf + authority)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    credentials = Credentials(certificate_file=str(chain), key_file=str(private))
    return Made(credentials=credentials, authority=authority)


def _sign(key: Any, issuer_key: Any, name: str, *extensions: Any, days: int = 365) -> bytes:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=500))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _name(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "holdfast's tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _usage(**given: bool) -> x509.KeyUsage:
    none = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
            *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    return x509.KeyUsage(**{**none, **given})
