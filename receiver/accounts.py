"""Whose generation it is, told by a fingerprint of the API key and never by the key.

The fingerprint is keyed with a secret of this archive, so that nobody who reads a row or a
manifest can try keys against it elsewhere.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from archiver.durable import make_folder, sync
from archiver.errors import ConfigError

_SECRET_BYTES = 32
_FINGERPRINT_BYTES = 12


class Accounts:
    """Fingerprints of API keys, the same for the same key as long as the archive has its secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def fingerprint(self, provider: str, api_key: str) -> str:
        """What the account is called in rows: 24 hex digits."""
        return _fingerprint(self._secret, f"{provider}\0{api_key}")

    def derived_key(self, purpose: str) -> bytes:
        """A key of this archive for another purpose, of which nobody learns the secret."""
        # No fingerprint is of such a text: a provider's name and a zero stand at its beginning.
        return hmac.digest(self._secret, purpose.encode(), "sha256")

    def key_of(self, provider: str, keys: Mapping[str, str], account: str | None) -> str | None:
        """The configured key of that account; of an account unknown, the first that there is."""
        if account is None:
            return next(iter(keys.values()), None)
        same = (key for key in keys.values() if self.fingerprint(provider, key) == account)
        return next(same, None)


@lru_cache(maxsize=1024)  # few keys make all the requests
def _fingerprint(secret: bytes, named: str) -> str:
    mac = hmac.digest(secret, named.encode("utf-8", "surrogateescape"), "sha256")
    return mac[:_FINGERPRINT_BYTES].hex()


def open_accounts(folder: Path) -> Accounts:
    """The accounts of the archive in `folder`, whose secret is made when first asked for.

    Several processes may ask at once and agree. Raises ConfigError if it cannot be had.
    """
    path = folder / "accounts.key"
    try:
        if not path.exists():
            _make(path)
        return Accounts(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} can neither be read nor made: {error.strerror}") from error


def _make(path: Path) -> None:
    """Written aside and linked into place: whoever comes second finds the whole of the first's."""
    make_folder(path.parent)
    made = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(_SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(made, path)
        sync(path.parent)
    except FileExistsError:
        pass
    finally:
        made.unlink()
