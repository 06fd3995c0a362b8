"""Signatures: what was signed is believed, what was changed since is not."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import ConfigError, ManifestError
from archiver.manifest import render
from archiver.signing import NOBODY, Signer, key_id, trust
from tests.archiver.test_manifest import KNOWN

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.builds(
    lambda tree, indent: json.dumps(tree, indent=indent).encode() + b"\n",
    st.dictionaries(st.text(), JSON, min_size=1, max_size=4),
    st.sampled_from([None, 1]),
)


def private_key(seed: int = 1) -> str:
    """A private key in PEM, the same for the same seed."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_key(seed: int = 1, encoding: Encoding = Encoding.PEM) -> bytes:
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32).public_key()
    return key.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


SIGNER = Signer(private_key())
TRUSTING = trust([], SIGNER)


@given(DOCUMENTS)
def test_what_was_signed_comes_out_as_it_went_in(document: bytes) -> None:
    """Byte for byte, however the JSON is written; and signed it is still JSON that says the same
    and who signed it."""
    signed = SIGNER.sign(document)

    opened = TRUSTING.open(signed)
    assert (opened.document, opened.signed_by) == (document, SIGNER.key_id)
    said = json.loads(signed)
    assert said.pop("signature").startswith(f"ed25519:{SIGNER.key_id}:")
    assert said == {name: it for name, it in json.loads(document).items() if name != "signature"}
    assert TRUSTING.open(document).signed_by == ""


@pytest.mark.parametrize("document", [render(KNOWN), b'{"a": 1}\n'], ids=["lines", "a line"])
def test_whatever_is_changed_is_noticed(document: bytes) -> None:
    """One bit anywhere, and it is refused or says what was signed all the same."""
    signed = SIGNER.sign(document)
    demanding = trust([], SIGNER, required=True)
    places = {*range(0, 8 * len(document), 97), *range(8 * len(signed) - 1100, 8 * len(signed))}
    told = 0
    for place in places & {*range(8 * len(signed))}:
        changed = bytearray(signed)
        changed[place // 8] ^= 1 << place % 8
        try:
            told += demanding.open(bytes(changed)).document != document
        except ManifestError:
            continue
    assert told == 0


def test_several_keys_may_be_trusted() -> None:
    """After a rotation what the older key signed is believed as long as its public key is kept."""
    old, text = Signer(private_key(2)), b'{"a": 1}\n'
    line = public_key(2).decode().splitlines()[1]
    assert trust([public_key(2).decode()], SIGNER).open(old.sign(text)).document == text
    assert trust([line], SIGNER).open(old.sign(text)).signed_by == old.key_id
    with pytest.raises(ManifestError, match=rf"key {old.key_id}, which is not trusted"):
        TRUSTING.open(old.sign(text))


def test_whoever_trusts_nobody_looks_at_no_signature() -> None:
    """An archive without keys reads what another signed; what must be signed must be trusted."""
    signed = SIGNER.sign(b'{"a": 1}\n')
    assert NOBODY.open(signed).document == b'{"a": 1}\n'
    with pytest.raises(ManifestError, match="not trusted"):
        trust([], None, required=True).open(signed)


def test_what_is_not_signed_is_refused_only_where_it_must_be() -> None:
    """Manifests from before there was a key are as they were."""
    assert TRUSTING.open(render(KNOWN)).document == render(KNOWN)
    with pytest.raises(ManifestError, match="it is not signed"):
        trust([], SIGNER, required=True).open(render(KNOWN))


def test_a_field_of_that_name_elsewhere_is_no_signature() -> None:
    """A stranger's text, wherever it stands, poses as none."""
    field = SIGNER.sign(b'{"a": 1}\n').partition(b", ")[2].removesuffix(b"}\n").decode()
    for posing in (json.dumps({"a": {"b": 1}})[:-2] + f", {field}}}}}\n", json.dumps(field) + "\n"):
        assert TRUSTING.open(posing.encode()).signed_by == ""


def test_trust_goes_to_other_processes() -> None:
    """Segments are read in several at once."""
    again = pickle.loads(pickle.dumps(TRUSTING))
    assert again.open(SIGNER.sign(b"{}\n".replace(b"{}", b'{"a": 1}'))).signed_by == SIGNER.key_id


_RSA = generate_private_key(65537, 1024)


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "no key",
        _RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        public_key().decode(),
    ],
)
def test_what_is_no_key_is_refused_with_what_to_type(pem: str) -> None:
    """And never shown."""
    with pytest.raises(ConfigError, match="openssl genpkey") as refusal:
        Signer(pem)
    assert "BEGIN" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "MCow", private_key(), "ä"])
def test_what_is_no_public_key_is_refused_with_what_to_type(text: str) -> None:
    """A private key in its place is not shown either."""
    with pytest.raises(ConfigError, match="openssl pkey") as refusal:
        trust([text], None)
    assert private_key().splitlines()[1] not in str(refusal.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")
def test_a_key_of_openssl_signs_and_openssl_verifies(tmp_path: Path) -> None:
    """The commands of the README make keys that are taken, and others can check what was signed."""

    def openssl(*words: str | Path) -> bytes:
        done = subprocess.run(["openssl", *words], check=True, capture_output=True)
        return done.stdout

    key, public = tmp_path / "manifests.key", tmp_path / "public.pem"
    openssl("genpkey", "-algorithm", "ed25519", "-out", key)
    openssl("pkey", "-in", key, "-pubout", "-out", public)
    signer = Signer(key.read_text())
    signed = signer.sign(render(KNOWN))
    assert trust([public.read_text()], None, required=True).open(signed).signed_by == key_id(
        signer.public_key
    )
    (tmp_path / "document").write_bytes(render(KNOWN))
    signature = json.loads(signed)["signature"].rpartition(":")[2]
    (tmp_path / "signature").write_bytes(b64decode(signature))
    said = openssl(
        "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin",
        "-in", tmp_path / "document", "-sigfile", tmp_path / "signature",
    )  # fmt: skip
    assert b"Verified Successfully" in said
