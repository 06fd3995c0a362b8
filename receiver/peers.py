"""Who is calling, and is it one of those who keep calling wrongly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

_GUISE = "::ffff:"


def caller(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The caller's address: the peer, or what trusted proxies say of whom they forward for.

    `forwarded` are the values of X-Forwarded-For in order. Only the part appended by proxies we
    trust is believed, read from the right; everything left of it is the caller's own claim. An
    IPv4 address that a socket of IPv6 has put on is told as what it is.
    """
    peer = _plain(peer)
    if not forwarded or not is_within(peer, trusted):
        return peer
    hops = [_plain(hop.strip()) for value in forwarded for hop in value.split(",")]
    for hop in reversed(hops):
        if not _is_address(hop):
            return peer
        if not is_within(hop, trusted):
            return hop
    return peer


def _plain(address: str) -> str:
    if not address.startswith(_GUISE):
        return address
    try:
        return str(IPv4Address(address.removeprefix(_GUISE)))
    except ValueError:
        return address  # of IPv6 after all


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # a scope is a word of the sender's choice


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address is of one of the networks; what is no address is of none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


class FailureLimit:
    """Counts wrong requests per caller and minute, so that guessing is answered before reading.

    Only failures count: a sender whose signatures are right is never refused for its rate. Whoever
    has one address of IPv6 has all of its /64, so those count as one caller.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._failures: Counter[str | int] = Counter()
        self._minute = 0

    def retry_after_seconds(self, caller: str, monotonic_seconds: float) -> int | None:
        """How long the caller should stay away, or None if it may speak."""
        self._turn(monotonic_seconds)
        if self._per_minute <= 0 or self._failures[_network(caller)] < self._per_minute:
            return None
        return 60 - int(monotonic_seconds) % 60

    def failed(self, caller: str, monotonic_seconds: float) -> None:
        """Counts one wrong request."""
        self._turn(monotonic_seconds)
        self._failures[_network(caller)] += 1

    def _turn(self, monotonic_seconds: float) -> None:
        minute = int(monotonic_seconds) // 60
        if minute != self._minute:
            self._minute = minute
            self._failures.clear()


def _network(caller: str) -> str | int:
    """What counts as one caller: of an address of IPv6 the upper half."""
    if ":" not in caller:
        return caller
    try:
        address = IPv6Address(caller)
    except ValueError:
        return caller
    return str(address.ipv4_mapped) if address.ipv4_mapped else int(address) >> 64
