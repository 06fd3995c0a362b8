"""One corpus and several clients on an island: which of them do how many links lead inside?"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import aiohttp

from archiver.egress import ANY_HOST, Egress, EgressPolicy
from archiver.errors import FetchError
from tests.archiver.forward_proxy import Proxy, proxying
from tests.archiver.name_server import PUBLIC
from tests.archiver.ssrf_corpus import PORTS, corpus
from tests.archiver.street import street

Visit = Callable[[str], Awaitable[None]]

_SECONDS = 5.0
# A cache of names, and one that rebinds, show only the second time.
_TIMES = 2
_EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_ANYHOW = {"allow_http": True, "allow_ports": frozenset({80, 443, *PORTS})}


def main(
    folder: Path, seed: int, made_up: int, sample: int | None, clients: list[str]
) -> dict[str, dict[str, int]]:
    """Of each client: how many links it was given, with how many it was inside, how often outside.

    Of the corpus with so many `made_up` links a `sample` is drawn, or all of it.
    """
    chance = Random(seed)
    links = corpus(chance, made_up=made_up)
    chosen = links if sample is None else chance.sample(links, sample)
    return asyncio.run(_all(folder, chosen, clients))


async def _all(folder: Path, links: list[str], clients: list[str]) -> dict[str, dict[str, int]]:
    found = {}
    async with street(folder) as everybody:
        for name in clients:
            # Names begin anew for each, or the later ones would never be deceived.
            everybody.names.asked.clear()
            inside_by, outside = set(), 0
            async with AsyncExitStack() as stack:
                visit = await _CLIENTS[name](stack)
                for link in links * _TIMES:
                    await visit(link)
                    inside, public = await everybody.met_since()
                    outside += public
                    if inside:
                        inside_by.add(link)
            found[name] = {"links": len(links), "inside": len(inside_by), "public": outside}
    return found


async def _guarded(stack: AsyncExitStack, **permitted: object) -> Visit:
    policy = EgressPolicy(total_seconds=_SECONDS, **permitted)  # type: ignore[arg-type]
    egress = await stack.enter_async_context(Egress(policy))

    async def visit(link: str) -> None:
        with suppress(FetchError):  # whatever else it raises is a fault
            async with egress.get(link, ANY_HOST) as incoming:
                async for _ in incoming.chunks():
                    pass

    return visit


async def _proxied(stack: AsyncExitStack, permits: Callable[[str], bool]) -> Visit:
    """Through a proxy, which has itself to see where a name leads; addresses are judged before."""
    proxy = await stack.enter_async_context(proxying(Proxy(permits)))
    visit = await _guarded(stack, proxy=proxy.url, **_ANYHOW)

    async def judged(link: str) -> None:
        await visit(link)
        assert not [host for host, _ in proxy.told if _is_address_inside(host)], link

    return judged


def _is_address_inside(host: str) -> bool:
    with suppress(OSError):
        socket.inet_aton(host)  # as the most lenient of readers would
        return host != PUBLIC
    return ":" in host


async def _plain(stack: AsyncExitStack) -> Visit:
    """What one would write."""
    patience = aiohttp.ClientTimeout(total=_SECONDS)
    session = await stack.enter_async_context(aiohttp.ClientSession(timeout=patience))

    async def visit(link: str) -> None:
        with suppress(Exception):  # assertions among them
            async with session.get(link) as response:
                await response.read()

    return visit


async def _checked(stack: AsyncExitStack) -> Visit:
    """What guides show: find the addresses, judge them, and then ask by name."""
    plain = await _plain(stack)

    async def visit(link: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            host = urlsplit(link).hostname or ""
            found = await loop.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
        except (OSError, ValueError):
            return
        if all(ip_address(it[4][0].partition("%")[0]).is_global for it in found):
            await plain(link)

    return visit


_CLIENTS: dict[str, Callable[[AsyncExitStack], Awaitable[Visit]]] = {
    "guarded": _guarded,
    "guarded by the address alone": lambda stack: _guarded(stack, **_ANYHOW),
    "a proxy that judges": lambda stack: _proxied(stack, PUBLIC.__eq__),
    "a proxy that judges nothing": lambda stack: _proxied(stack, lambda _: True),
    "everywhere allowed": lambda stack: _guarded(stack, allow_networks=_EVERYWHERE, **_ANYHOW),
    "plain": _plain,
    "resolved and checked": _checked,
}
