"""Certificates from wherever a request says that they are."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from receiver import eventbridge
from receiver.eventbridge import read_certificate
from tests.fuzz.target import Sabotage, Target


def law(data: bytes) -> None:
    """None, or moments with a zone and a key that is RSA and long enough, if there is any."""
    found = read_certificate(data)
    if found is None:
        return
    assert found.valid_from.tzinfo
    assert found.valid_until.tzinfo
    if found.key is not None:
        assert isinstance(found.key, RSAPublicKey)
        assert found.key.key_size >= 1024


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="asking what key it is",
        owner=eventbridge,
        name="_fit_key",
        instead=lambda certificate: certificate.public_key(),
    ),
    words=(b"-----BEGIN CERTIFICATE-----\n", b"\n-----END CERTIFICATE-----\n"),
)
