"""Who signs for this archive, and whom it trusts, as the configuration says."""

from __future__ import annotations

from archiver.signing import Signer, Trust, trust
from receiver.settings import Config


def signer_of(config: Config) -> Signer | None:
    """Who signs what is written into the bucket, if anybody; raises ConfigError."""
    key = config.manifests.signing_key
    return Signer(key) if key else None


def trust_of(config: Config, *, required: bool = False) -> Trust:
    """Whose signatures are believed: those of the archive's own key, and of all trusted ones.

    Raises ConfigError.
    """
    return trust(config.manifests.trusted_keys.values(), signer_of(config), required=required)
