"""The address at which a provider can tell us of one submission."""

from __future__ import annotations

from receiver.path_tokens import mint
from receiver.settings import Config


def webhook_url(config: Config, provider: str, nonce: bytes) -> str | None:
    """Where the webhook of a submission goes; `nonce` (1 to 64 bytes) makes its path its own.

    None where nobody could reach us, or where what comes would not be believed.
    """
    providers = config.providers
    base_url = f"{config.public_url.rstrip('/')}/webhooks/{provider}"
    if not config.public_url:
        return None
    if provider == "doitong" and providers.doitong and providers.doitong.secrets:
        return base_url
    if provider == "modelslab" and providers.modelslab and providers.modelslab.secrets:
        # Nobody signs these: whoever knows the path is whom it was given to.
        newest = next(iter(providers.modelslab.secrets.values()))
        return f"{base_url}/{mint(newest, nonce)}"
    return None
