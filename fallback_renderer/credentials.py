"""Content credentials (C2PA 2.x): a signature over the whole picture, and over who says so.

It is the last thing done to a picture, for any later change breaks it. There is no time stamp from
an authority, so nothing here needs the network; but readers take the signature for valid only
as long as the certificate is.
"""

from __future__ import annotations

import io
from importlib.metadata import version
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from PIL import Image

from archiver.errors import ConfigError
from fallback_renderer.settings import Credentials

try:
    import c2pa
except ImportError:  # an extra, for 53 MB are not for who does not sign
    c2pa = None

_PNG = "image/png"
_THUMBNAILS_OFF = {"builder": {"thumbnail": {"enabled": False}}}
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


class Signer:
    """Signs with the operator's own certificate; fit to sign once it is made.

    Raises ConfigError if the package, the certificate or its key will not do.
    """

    def __init__(self, credentials: Credentials) -> None:
        if c2pa is None:
            raise ConfigError(
                "render.credentials: what signs is not installed: pip install "
                "'holdfast[credentials]', or leave the table out"
            )
        self._setting = f"render.credentials: {credentials.certificate_file}"
        algorithm, key = _read_key(credentials.key_file)
        try:
            chain = Path(credentials.certificate_file).read_bytes()
            info = c2pa.C2paSignerInfo(algorithm, chain, key, None)
            self._signer = c2pa.Signer.from_info(info)
            self._context = c2pa.Context.from_dict(_THUMBNAILS_OFF)
        except (OSError, c2pa.C2paError) as error:
            raise ConfigError(f"{self._setting} cannot be used: {error}") from error
        self._definition = {
            "claim_generator_info": [{"name": "holdfast", "version": version("holdfast")}]
        }
        self.sign(_smallest_png())  # c2pa reads a certificate only when it signs

    def sign(self, png: bytes) -> bytes:
        """The PNG with the claim that trained algorithms created it, whole as it is.

        Raises ConfigError if the certificate is no longer valid.
        """
        signed = io.BytesIO()
        try:
            builder = c2pa.Builder(self._definition, context=self._context)
            builder.set_intent(
                c2pa.C2paBuilderIntent.CREATE,
                c2pa.C2paDigitalSourceType.TRAINED_ALGORITHMIC_MEDIA,
            )
            builder.sign(self._signer, _PNG, io.BytesIO(png), signed)
        except c2pa.C2paError as error:
            raise ConfigError(
                f"{self._setting} cannot sign: {error}; it must be a chain with the leaf first, "
                "that leaf valid today, for digital signatures and e-mail protection, and the "
                "key must be the leaf's"
            ) from error
        return signed.getvalue()


def _read_key(path: str) -> tuple[str, bytes]:
    """The algorithm that goes with a key in PEM, and the key as PKCS #8, which c2pa reads."""
    try:
        key = load_pem_private_key(Path(path).read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"render.credentials: {path} is no unlocked PEM key: {error}") from error
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        algorithm = _CURVES[key.curve.name]
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = "ed25519"
    elif isinstance(key, rsa.RSAPrivateKey):
        algorithm = "ps256"
    else:
        raise ConfigError(
            f"render.credentials: {path} is a key that C2PA knows no algorithm for: make one with "
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
        )
    return algorithm, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _smallest_png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    return file.getvalue()
