"""What may be asked for, and where a connection may go. Pure: URLs and addresses in, verdicts out.

A link is a stranger's text, so three things are judged: the URL (scheme, user, host, port) before
anything is sent and again at every redirect, and the address at the moment of connecting, which is
the only moment that no name server, redirect or odd spelling of an address can go round.
"""

import re
import string
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from urllib.parse import quote

from yarl import URL

from archiver.errors import FetchError
from archiver.models import Fault

# IANA's special-purpose registries and Azure's wire server. `ipaddress.is_global` is no policy: it
# changes between patch releases of Python and calls multicast and NAT64 addresses global.
_REFUSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Of IPv6 only global unicast, less what is tunnelled, documented or somebody's own (Teredo and
# ORCHID, documentation, 6to4, documentation, AS112).
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "2620:4f:8000::/48")
)
_LONGEST_HOST = 253
# No name ends in a number, for that is an old spelling of an address (RFC 3986 §7.4); and this one
# leads to the proxy itself (RFC 6761 §6.3).
_NAME = re.compile(r"([a-z0-9_-]+\.)*(?!([0-9]+|0x[0-9a-f]*|localhost)\.?$)[a-z0-9_-]+\.?", re.I)

# For links of which no provider can say where they lead; the address is judged all the same.
ANY_HOST = ("*",)


@dataclass(frozen=True, kw_only=True, slots=True)
class EgressPolicy:
    """What the operator permits; the defaults suit the public internet.

    `table` is the one of the configuration that says so, for the errors to name. With a `proxy`,
    `http://host:port`, only that is connected to: it finds the addresses of names, and judges them.
    """

    table: str = "egress"
    allow_http: bool = False
    allow_ports: frozenset[int] = frozenset({443})
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    proxy: str | None = None
    max_bytes: int = 512 * 2**20
    min_bytes_per_second: int = 1024
    grace_seconds: float = 10
    total_seconds: float = 600
    connect_seconds: float = 10
    read_seconds: float = 30
    max_redirects: int = 3


def permitted_url(
    link: str, allowed_hosts: Collection[str], policy: EgressPolicy, *, seen_at: URL | None = None
) -> URL:
    """The URL to ask for, or FetchError FORBIDDEN with the setting that would permit it.

    `seen_at` is where a redirect was met, so that `link` may be relative. A signature covers the
    URL as it was written, so nothing printable is changed; what is not printable ASCII is escaped.
    """
    try:
        url = URL(quote(link, safe=string.punctuation, errors="surrogateescape"), encoded=True)
        if seen_at is not None:
            url = seen_at.join(url)
        host, port = url.raw_host, url.port
    except (ValueError, IndexError):  # of yarl, for some nonsense in brackets
        raise _forbidden("the link is not a URL") from None
    if url.scheme not in ("https", "http") or not host:
        raise _forbidden("the link is not an https URL")
    if url.scheme == "http" and not policy.allow_http:
        raise _forbidden(f"the link is not https; {policy.table}.allow_http = true would permit it")
    if url.raw_user is not None or url.raw_password is not None:
        raise _forbidden("the link carries a user name or password, and no setting permits that")
    if not _is_allowed_host(host, allowed_hosts):
        raise _forbidden(
            f"the link's host {host[:_LONGEST_HOST]} is not an allowed one; "
            "if it is the provider's, add it to providers.<name>.download_hosts"
        )
    if port not in policy.allow_ports:
        raise _forbidden(f"the link's port {port} is not one of {policy.table}.allow_ports")
    if policy.proxy and not _may_be_told_to_a_proxy(host, policy):
        raise _forbidden(f"the link's host {host[:_LONGEST_HOST]} is at no public address")
    return url


def is_permitted_address(address: str, policy: EgressPolicy) -> bool:
    """Whether to connect to this numeric address: a public one, or one of `allow_networks`."""
    parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if any(parsed in network for network in policy.allow_networks):
        return True
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _REFUSED_V4)
    return parsed in _GLOBAL_V6 and not any(parsed in network for network in _REFUSED_V6)


def _is_allowed_host(host: str, allowed_hosts: Collection[str]) -> bool:
    """Whether `host` is an allowed one or a sub-domain of one."""
    if allowed_hosts is ANY_HOST:
        return True
    labels = "." + host.rstrip(".").lower()
    return any(labels.endswith("." + allowed.strip(".").lower()) for allowed in allowed_hosts)


def _may_be_told_to_a_proxy(host: str, policy: EgressPolicy) -> bool:
    """Whether it is a public address or a name; what is written like neither, it might misread."""
    try:
        return is_permitted_address(host, policy)
    except ValueError:
        return _NAME.fullmatch(host) is not None


def _forbidden(reason: str) -> FetchError:
    return FetchError(Fault.FORBIDDEN, reason)
