"""Content credentials: what a reader makes of them, and which certificates will not do."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import c2pa
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from PIL import Image

from archiver.errors import ConfigError
from fallback_renderer import credentials
from fallback_renderer.credentials import Signer
from fallback_renderer.provenance import SOURCE_TYPE, Provenance, stamp
from tests.fallback_renderer.certificates import make

KEYS: dict[str, Any] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "RSA": rsa.generate_private_key(65537, 2048),
}


def _stamped() -> bytes:
    file = io.BytesIO()
    Image.radial_gradient("L").save(file, "PNG")
    return stamp(
        file.getvalue(),
        Provenance(
            provider="modelslab",
            generation_id="7",
            index=0,
            model="midjourney",
            drawn_with="sd15",
            software="holdfast",
        ),
    )


PNG = _stamped()


def _read(png: bytes, **settings: Any) -> tuple[str, set[str]]:
    """What a reader takes the credentials for, and what it objects to."""
    context = c2pa.Context.from_dict(settings)
    with c2pa.Reader("image/png", io.BytesIO(png), context=context) as reader:
        state, results = reader.get_validation_state(), reader.get_validation_results()
    assert state is not None
    assert results is not None
    return state, {failure["code"] for failure in results["activeManifest"]["failure"]}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_signed_picture_is_valid(tmp_path: Path, key: Any) -> None:
    """For anybody; and trusted by whoever trusts the authority, whatever kind of key it is."""
    made = make(tmp_path, key=key)

    signed = Signer(made.credentials).sign(PNG)

    assert _read(signed) == ("Valid", {"signingCredential.untrusted"})
    trust = {"trust_anchors": made.authority.decode()}
    assert _read(signed, trust=trust, verify={"verify_trust": True}) == ("Trusted", set())


def test_a_signed_picture_says_who_created_it(tmp_path: Path) -> None:
    """Trained algorithms, and holdfast; there is no thumbnail, which would say nothing more."""
    signed = Signer(make(tmp_path).credentials).sign(PNG)

    with c2pa.Reader("image/png", io.BytesIO(signed)) as reader:
        manifest = reader.get_active_manifest()
    assert manifest is not None
    (assertion,) = manifest["assertions"]
    (action,) = assertion["data"]["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", SOURCE_TYPE)
    assert manifest["claim_generator_info"][0]["name"] == "holdfast"
    assert "thumbnail" not in manifest


def test_what_was_stamped_is_signed_with_it(tmp_path: Path) -> None:
    """Pixels and texts are those that went in; what is new is one chunk."""
    signed = Signer(make(tmp_path).credentials).sign(PNG)

    before, after = Image.open(io.BytesIO(PNG)), Image.open(io.BytesIO(signed))
    assert after.tobytes() == before.tobytes()
    assert json.loads(after.info["holdfast"]) == json.loads(before.info["holdfast"])
    assert after.info["Software"] == before.info["Software"]


@pytest.mark.parametrize("place", [b"IDAT", b"provider"])
def test_one_byte_makes_it_invalid(tmp_path: Path, place: bytes) -> None:
    """A picture that was changed, or is said to be another's, is not what was signed."""
    signed = bytearray(Signer(make(tmp_path).credentials).sign(PNG))
    signed[signed.index(place) + len(place) + 4] ^= 1

    state, failures = _read(bytes(signed))

    assert state == "Invalid"
    assert "assertion.dataHash.mismatch" in failures


def _mismatched(folder: Path) -> None:
    chain = (folder / "chain.pem").read_bytes()
    make(folder)
    (folder / "chain.pem").write_bytes(chain)


def _locked(folder: Path) -> None:
    lock = BestAvailableEncryption(b"secret")
    locked = KEYS["P-256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
    (folder / "key.pem").write_bytes(locked)


BROKEN: dict[str, Any] = {
    "key of another certificate": _mismatched,
    "locked key": _locked,
    "no key": lambda folder: (folder / "key.pem").write_bytes(b"nothing"),
    "no key file": lambda folder: (folder / "key.pem").unlink(),
    "no certificate": lambda folder: (folder / "chain.pem").write_bytes(b"nothing"),
    "no certificate file": lambda folder: (folder / "chain.pem").unlink(),
    "an expired certificate": lambda folder: make(folder, days=-1),
    "a web server's": lambda folder: make(folder, usage=ExtendedKeyUsageOID.SERVER_AUTH),
    "a key that C2PA does not know": lambda folder: (folder / "key.pem").write_bytes(
        dsa.generate_private_key(2048).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    ),
}


@pytest.mark.parametrize("breaks", BROKEN.values(), ids=BROKEN)
def test_what_cannot_sign_is_found_at_once(tmp_path: Path, breaks: Any) -> None:
    """When the renderer starts, not with the first picture; and the setting is named."""
    made = make(tmp_path)
    breaks(tmp_path)

    with pytest.raises(ConfigError, match=r"render\.credentials: .*\.pem"):
        Signer(made.credentials)


def test_the_package_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who did not install it is told what to type, if and only if it is to be used."""
    monkeypatch.setattr(credentials, "c2pa", None)

    with pytest.raises(ConfigError, match=r"pip install 'holdfast\[credentials\]'"):
        Signer(make(tmp_path).credentials)
