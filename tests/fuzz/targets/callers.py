"""Who is calling: what proxies say of it, and what anybody may claim that they say."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from receiver import peers
from receiver.peers import caller
from tests.fuzz.target import Sabotage, Target

TRUSTED = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("::1/128"))


def law(data: bytes) -> None:
    """The peer on the first line, or the last whom a proxy of ours names that is none itself."""
    peer, *forwarded = data.decode("latin-1").split("\n")
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    found = caller(peer, forwarded, TRUSTED)
    if address(peer) is None or address(found) == address(peer):
        return
    assert address(found) is not None
    assert "%" not in found
    assert is_ours(peer)
    assert not any(ip_address(found) in network for network in TRUSTED)
    told = [address(hop) for hop in hops[::-1]]
    assert all(map(is_ours, hops[len(hops) - told.index(address(found)) :]))


def address(text: str) -> IPv4Address | IPv6Address | None:
    """What a text stands for, less the guise in which a socket of IPv6 shows an address of IPv4."""
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def is_ours(text: str) -> bool:
    """Whether it is the address of a proxy that we trust."""
    return any(address(text) in network for network in TRUSTED)


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="believing no more than proxies of ours",
        owner=peers,
        name="is_within",
        instead=lambda address, _: address.startswith("1"),
    ),
    words=(
        b"127.0.0.1\n",
        b"10.1.2.3",
        b"192.0.2.1",
        b"::1",
        b"::ffff:127.0.0.1",
        b"fe80::1%a",
        b", ",
    ),
)
