"""Passes: what a browser carries once somebody has typed a token into it.

A browser sends no `Authorization` by itself. A pass says until when it is good, and proves with a
key of this archive that it was made of a token that is still configured; the token is not in it,
so that who finds a pass can read for a while, and nothing else.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from receiver.settings import Token

LIFETIME = timedelta(days=30)
COOKIE = "holdfast"

_WELL_FORMED = re.compile(r"(\d{1,12})\.([0-9a-f]{64})", re.ASCII)


class Passes:
    """Makes passes of tokens, and tells of which token a pass is; `key` is a secret of ours."""

    def __init__(
        self, key: bytes, tokens: Mapping[str, Token], *, now: Callable[[], datetime]
    ) -> None:
        self._key = key
        self._tokens = tokens
        self._now = now

    def issue(self, token: Token) -> str:
        """A pass of this token, good for `LIFETIME`."""
        until = str(int((self._now() + LIFETIME).timestamp()))
        return f"{until}.{self._mac(token, until)}"

    def token_of(self, shown: str) -> Token | None:
        """The token that a pass was made of; None if it is none of ours, or too old."""
        found = _WELL_FORMED.fullmatch(shown)
        if found is None or int(found[1]) <= self._now().timestamp():
            return None
        until, claimed = found.groups()
        good = [it for it in self._tokens.values() if self._is(claimed, it, until)]
        return good[0] if good else None

    def _is(self, claimed: str, token: Token, until: str) -> bool:
        return hmac.compare_digest(claimed, self._mac(token, until))

    def _mac(self, token: Token, until: str) -> str:
        made_of = f"{token.sha256.lower()}.{until}".encode()
        return hmac.digest(self._key, made_of, "sha256").hex()
