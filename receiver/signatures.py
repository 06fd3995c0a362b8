"""Is it really from the provider: `sha256=<hex HMAC-SHA256 of the raw body>`, any of our secrets.

The verifier is total: whatever the headers and the body hold, the answer is a verdict with a
reason and never an exception, because every exception here would be a stranger's to cause.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from archiver.errors import ConfigError

# "X-Doitong-Signature: sha256=abc123..." (doitong-stable-diffusion, "Webhook security")
DOITONG_HEADER = "X-Doitong-Signature"

_WELL_FORMED = re.compile(rb"sha256=([0-9a-fA-F]{64})").fullmatch

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`verified_by` is the label of what matched, or None with the reason why not.

    The reason is one of a few sentences of ours and holds no word of the sender's. `path_token`
    is what of a path's token may be kept, `path_secret` what may not. With `ask_again` nobody can
    tell yet: that is our trouble, and the same request may be verified in a while. What is
    `hopeless` could be verified with no secret or setting at all, as far as it is kept.
    """

    verified_by: str | None
    reason: str
    path_token: str = ""
    path_secret: bytes = b""
    ask_again: bool = False
    hopeless: bool = False


class Verifier:
    """Checks one provider's signatures against its labelled secrets, so that secrets can rotate.

    Raises ConfigError for no secret at all or an empty one: it would verify anything.
    """

    def __init__(self, header: str, secrets: Mapping[str, str]) -> None:
        self._header = header.lower().encode()
        self._keyed = [
            (state, Verdict(verified_by=label, reason=""))
            for label, state in keyed(secrets).items()
        ]

    def verify(self, headers: Headers, body: bytes, target: str = "") -> Verdict:
        """Verifies the wire's bytes against the one signature header; `target` is not signed."""
        values = [value for name, value in headers if name.lower() == self._header]
        if not values:
            return rejected("no signature header", hopeless=True)
        if len(values) > 1:
            return rejected("more than one signature header", hopeless=True)
        match = _WELL_FORMED(values[0].strip())
        if match is None:
            return rejected("the signature is not sha256=<64 hex digits>", hopeless=True)
        claimed = bytes.fromhex(match[1].decode("ascii"))
        for state, verdict in self._keyed:
            signer = state.copy()
            signer.update(body)
            if hmac.compare_digest(signer.digest(), claimed):
                return verdict
        return rejected("the signature matches none of our secrets")


def sign(secret: str, body: bytes) -> str:
    """The header's value for `body`, as the provider would send it."""
    return "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()


def keyed(secrets: Mapping[str, str]) -> dict[str, hmac.HMAC]:
    """A keyed state for each label, to be copied: cheaper for each request than keying afresh.

    Raises ConfigError for no secret at all or an empty one.
    """
    if not secrets:
        raise ConfigError("no webhook secret is configured, so nothing could be verified")
    for label, secret in secrets.items():
        if not secret.strip():
            raise ConfigError(f"the webhook secret labelled {label!r} is empty")
    return {
        label: hmac.new(secret.encode(), digestmod="sha256") for label, secret in secrets.items()
    }


def rejected(reason: str, *, hopeless: bool = False) -> Verdict:
    """The verdict on what is not from the provider."""
    return Verdict(verified_by=None, reason=reason, hopeless=hopeless)
