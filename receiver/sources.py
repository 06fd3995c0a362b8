"""Which providers' webhooks are taken in, and how each is told from a forgery."""

from __future__ import annotations

from receiver.config import Config
from receiver.signatures import DOITONG_HEADER, Verifier


def verifiers(config: Config) -> dict[str, Verifier]:
    """The signature check of every configured source; raises ConfigError for an empty secret."""
    doitong = config.providers.doitong
    return {"doitong": Verifier(DOITONG_HEADER, doitong.secrets)} if doitong else {}
