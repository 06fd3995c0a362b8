"""Signatures of what describes the archive in its bucket: Ed25519 (RFC 8032), within the document.

A signed document is a JSON object whose last field is its `signature`. What is signed are the bytes
that the very same object has without that field, so that a copied bucket stays as good as the
first, nothing has to be put twice, and nobody need agree on how JSON is written.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from archiver.errors import ConfigError, ManifestError

_FIELD = rb'"signature": "ed25519:([0-9a-f]{16}):([A-Za-z0-9+/]{86}==)"'
# On a line of its own, where the object's end is on one, and otherwise not.
_SIGNED = re.compile(rb",(?P<line>\n)? " + _FIELD + rb"(?(line)\n)\}\n\Z")
# Longer than all that the pattern can match.
_TAIL_BYTES = 200

_NO_PRIVATE_KEY = (
    "manifests.signing_key is no Ed25519 private key in PEM without a passphrase; make one: "
    "openssl genpkey -algorithm ed25519 -out manifests.key"
)


class Signer:
    """Signs with one private key; `key_id` is by what others know its public one."""

    def __init__(self, private_key_pem: str) -> None:
        """Raises ConfigError unless it is an Ed25519 key in PEM."""
        try:
            key = load_pem_private_key(private_key_pem.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(_NO_PRIVATE_KEY) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(_NO_PRIVATE_KEY)
        self._key = key
        self.public_key = _raw(key.public_key())
        self.key_id = key_id(self.public_key)

    def sign(self, document: bytes) -> bytes:
        """The document, a JSON object and a line's end, with its signature as the last field."""
        signature = b64encode(self._key.sign(document))
        line, tail = (b"\n", b"\n}\n") if document.endswith(b"\n}\n") else (b"", b"}\n")
        field = b'"signature": "ed25519:%b:%b"' % (self.key_id.encode(), signature)
        return b"%b,%b %b%b" % (document.removesuffix(tail), line, field, tail)


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A document without its signature, and who signed it: a key's id, or "" for nobody."""

    document: bytes
    signed_by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """Whose signatures are believed: raw public keys by their ids.

    Without any no signature is looked at. `required`: what is not signed by one of them is refused.
    """

    keys: Mapping[str, bytes]
    required: bool = False

    def open(self, document: bytes) -> Opened:
        """What a document says, if it may be believed; raises ManifestError if it must not."""
        found = _SIGNED.search(document[-_TAIL_BYTES:])
        if found is None:
            if self.required:
                raise ManifestError("it is not signed")
            return Opened(document=document, signed_by="")
        line, signed_by, signature = found[1] or b"", found[2].decode(), found[3]
        bare = document[: -len(found[0])] + line + b"}\n"
        if self.keys or self.required:
            self._check(bare, signed_by, signature)
        return Opened(document=bare, signed_by=signed_by)

    def _check(self, bare: bytes, signed_by: str, signature: bytes) -> None:
        key = self.keys.get(signed_by)
        if key is None:
            raise ManifestError(
                f"it is signed with the key {signed_by}, which is not trusted: if it was one of "
                "yours, put its public key into manifests.trusted_keys"
            )
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(b64decode(signature), bare)
        except InvalidSignature:
            raise ManifestError(
                "its signature is not of what it says: it was changed after it was signed"
            ) from None


NOBODY = Trust(keys={})


def trust(public_keys: Iterable[str], signer: Signer | None, *, required: bool = False) -> Trust:
    """Trust in some public keys, as `openssl pkey -pubout` prints them, and in one's own signer.

    The one line between a PEM's first and last is enough. Raises ConfigError for what is no key.
    """
    keys = [_public(text) for text in public_keys]
    if signer is not None:
        keys.append(signer.public_key)
    return Trust(keys={key_id(key): key for key in keys}, required=required)


def key_id(public_key: bytes) -> str:
    """How a raw public key is called: 16 hex digits of the SHA-256 of its DER form.

    `openssl pkey -in manifests.key -pubout -outform DER | sha256sum` begins with the same.
    """
    der = Ed25519PublicKey.from_public_bytes(public_key).public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()[:16]


def _public(text: str) -> bytes:
    try:
        key = (
            load_pem_public_key(text.encode())
            if "-----BEGIN" in text
            else load_der_public_key(b64decode(text, validate=True))
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(_no_public_key(text)) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(_no_public_key(text))
    return _raw(key)


def _no_public_key(text: str) -> str:
    return (
        f"manifests.trusted_keys: {text[:30]!r}… is no Ed25519 public key; it is what this prints: "
        "openssl pkey -in manifests.key -pubout"
    )


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
