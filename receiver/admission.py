"""Who may go through the gateway, and to whom: never judged by `Authorization`, the provider's."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from hashlib import sha256
from urllib.parse import unquote

from receiver.peers import FailureLimit, Network, is_within

_PREFIX = "/gateway/"


class GuessingError(Exception):
    """Too many wrong tokens came from that address; none is looked at for so long."""

    def __init__(self, wait_seconds: int) -> None:
        super().__init__(f"too many wrong tokens; try again in {wait_seconds} seconds")
        self.wait_seconds = wait_seconds


class Admission:
    """Admits addresses of `networks`, and from anywhere whoever has a client's token in the path.

    `clients` maps labels to the SHA-256 (hex) of their tokens; `failures` counts wrong ones.
    """

    def __init__(
        self,
        networks: tuple[Network, ...],
        clients: Mapping[str, str],
        failures: FailureLimit,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        # Few peers make all the requests.
        self._is_near = lru_cache(maxsize=1024)(lambda peer: is_within(peer, networks))
        self._failures = failures
        self._monotonic = monotonic
        self._digests = [digest.lower().encode() for digest in clients.values()]

    def admit(self, peer: str, path: str, providers: Collection[str]) -> tuple[str, str] | None:
        """The provider and the path there, of `/gateway/[<token>/]<provider><path>`; else None.

        The path keeps its query and every escape as it was written. Raises GuessingError.
        """
        if not path.startswith(_PREFIX):
            return None
        first, rest = _step(path.removeprefix(_PREFIX))
        if first in providers:
            return (first, rest) if self._is_near(peer) else None
        second, rest = _step(rest.removeprefix("/"))
        return (second, rest) if second in providers and self._is_client(peer, first) else None

    def _is_client(self, peer: str, token: str) -> bool:
        wait_seconds = self._failures.retry_after_seconds(peer, self._monotonic())
        if wait_seconds is not None:
            raise GuessingError(wait_seconds)
        given = sha256(unquote(token).encode("utf-8", "surrogateescape")).hexdigest().encode()
        # Each is compared, so that the time tells nothing.
        if sum(hmac.compare_digest(given, known) for known in self._digests) > 0:
            return True
        self._failures.failed(peer, self._monotonic())
        return False


def _step(path: str) -> tuple[str, str]:
    """The path's first step, and what follows it, which begins with a slash or a query."""
    ends = [at for at in (path.find("/"), path.find("?")) if at >= 0]
    end = min(ends, default=len(path))
    rest = path[end:]
    return path[:end], rest if rest.startswith("/") else f"/{rest}"
