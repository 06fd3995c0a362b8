"""In what the settings are measured: counts, sizes, times, digests and networks."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

import msgspec

from archiver.errors import ConfigError

Count = Annotated[int, msgspec.Meta(ge=1)]
Size = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Hours = Annotated[float, msgspec.Meta(ge=0, le=24 * 36500)]
Rate = Annotated[float, msgspec.Meta(gt=0)]
Days = Annotated[float, msgspec.Meta(gt=0, le=36500)]
Network = IPv4Network | IPv6Network
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-fA-F]{64}$")]


def networks(cidrs: tuple[str, ...], name: str) -> tuple[Network, ...]:
    """The networks that a setting called `name` lists; raises ConfigError."""
    try:
        return tuple(ip_network(cidr) for cidr in cidrs)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
