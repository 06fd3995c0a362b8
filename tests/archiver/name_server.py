"""A name server that changes its mind: DNS over UDP, spoken by hand (RFC 1035)."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import cast

from tests.archiver.island import DOMAIN, NAME_SERVER

# The only addresses that are anybody's on the public internet; all others are inside.
PUBLIC = "93.184.216.34"
PUBLIC_6 = "2606:2800:220:1:248:1893:25c8:1946"

# What the names that begin so lead to. Each answer is followed by the next one and the last one by
# itself, all with a TTL of 0; a name that is none of them is public.
ZONE: dict[str, list[list[str]]] = {
    "private": [["10.0.0.7"]],
    "loopback": [["127.0.0.1"]],
    "metadata": [["169.254.169.254"]],
    "azure": [["168.63.129.16"]],
    "alibaba": [["100.100.100.200"]],
    "unspecified": [["0.0.0.0"]],
    "rebind": [[PUBLIC], ["169.254.169.254"]],
    "rebind-late": [[PUBLIC], [PUBLIC], ["127.0.0.1"]],
    "flip": [["127.0.0.1"], [PUBLIC]],
    "mixed": [[PUBLIC, "10.0.0.7"]],
    "mixed-first": [["10.0.0.7", PUBLIC]],
    "many": [["10.0.0.7", "127.0.0.1", "169.254.169.254"]],
    "six": [["::1"]],
    "six-metadata": [["fd00:ec2::254"]],
    "six-too": [[PUBLIC, "fd00:ec2::254"]],
    "mapped": [["::ffff:127.0.0.1"]],
    "compatible": [["::127.0.0.1"]],
    "nat64": [["64:ff9b::a9fe:a9fe"]],
    "sixtofour": [["2002:a9fe:a9fe::1"]],
    "teredo": [["2001:0:7f00:1::1"]],
    "alias": [["=alias2"]],
    "alias2": [["=alias3"]],
    "alias3": [["127.0.0.1"]],
    "alias-out": [["=localhost"]],
}
_A, _CNAME, _AAAA = 1, 5, 28


class NameServer(asyncio.DatagramProtocol):
    """Answers every question; how often each name was asked for decides which answer it is."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._turned = False

    def turn(self) -> None:
        """All names have come to their last answer."""
        self._turned = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, end = _labels(data)
        (kind,) = struct.unpack_from("!H", data, end)
        question = data[12 : end + 4]
        answers = self._answers(".".join(labels).lower(), kind)
        head = data[:2] + struct.pack("!HHHHH", 0x8580, 1, len(answers), 0, 0)
        self._transport.sendto(head + question + b"".join(answers), addr)

    def _answers(self, name: str, kind: int) -> list[bytes]:
        if kind not in (_A, _AAAA) or not (name == DOMAIN or name.endswith(f".{DOMAIN}")):
            return []
        told = [(name, it) for it in self._now(name, kind)]
        records = []
        while told:
            owner, it = told.pop(0)
            if it.startswith("="):
                alias = f"{it[1:]}.{DOMAIN}" if it != "=localhost" else "localhost"
                records.append(_record(owner, _CNAME, _name(alias)))
                told += [(alias, more) for more in self._now(alias, kind)]
            elif ip_address(it).version == (4 if kind == _A else 6):
                packed = ip_address(it).packed
                records.append(_record(owner, kind, packed))
        return records

    def _now(self, name: str, kind: int) -> list[str]:
        """A name's end tells it from others of its kind, so that each begins anew."""
        if name == "localhost":
            return ["127.0.0.1", "::1"]
        label = name.partition(".")[0]
        turns = ZONE.get(label) or ZONE.get(label.rstrip("0123456789").rstrip("-"))
        if turns is None:
            return [PUBLIC]
        number = len(turns) if self._turned else self.asked[f"{name} {kind}"]
        self.asked[f"{name} {kind}"] += 1
        return turns[min(number, len(turns) - 1)]


@asynccontextmanager
async def naming() -> AsyncIterator[NameServer]:
    """It answers while inside."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        NameServer, local_addr=(NAME_SERVER, 53), family=socket.AF_INET
    )
    try:
        yield server
    finally:
        transport.close()


def _labels(query: bytes) -> tuple[list[str], int]:
    labels, at = [], 12
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode("latin-1"))
        at += 1 + size
    return labels, at + 1


def _name(name: str) -> bytes:
    return b"".join(bytes([len(it)]) + it.encode() for it in name.split(".")) + b"\0"


def _record(owner: str, kind: int, data: bytes) -> bytes:
    return _name(owner) + struct.pack("!HHIH", kind, 1, 0, len(data)) + data
