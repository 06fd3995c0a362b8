"""Through a proxy: it is told names and public addresses, and finds out where they lead."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest

from archiver.egress import ANY_HOST, Egress, EgressPolicy
from archiver.errors import FetchError
from archiver.models import Fault
from tests.archiver.forward_proxy import Proxy, proxying
from tests.archiver.origin import answer, serve_origin

REFUSED = b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """One that leads anybody anywhere."""
    async with proxying(Proxy(lambda _: True)) as proxy:
        yield proxy


async def fetch(link: str, proxy: str, port: int = 443) -> bytes:
    """All the bytes at `link`, through that proxy."""
    policy = EgressPolicy(allow_http=True, allow_ports=frozenset({port}), proxy=proxy)
    async with Egress(policy) as egress, egress.get(link, ANY_HOST) as incoming:
        return b"".join([chunk async for chunk in incoming.chunks()])


async def test_a_name_is_found_by_the_proxy(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the proxy is connected to, though it stands on a private address."""
    async with serve_origin() as origin:
        link = origin.url("/a", host="nobody-knows.example")
        origin.answers[link] = answer(body=b"picture")  # a proxy is told the whole of it
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody heeds it
        proxy.lead("127.0.0.1")
        assert await fetch(link, proxy.url, origin.port) == b"picture"
        assert proxy.told == [("nobody-knows.example", origin.port)]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:7f00:1]", "10.0.0.1.", "127.1", "0x7f.1",
        "2130706433", "0177.0.0.1", "localhost", "a.localhost.", "127.0.0.1%00", "１２７.0.0.1",
        "[fe80::1%25eth0]", "[v1.fe80::1]", "a..b", "%6cocalhost", "a.0x7f000001",
    ],
)  # fmt: skip
async def test_no_proxy_is_told_of_an_address_inside(proxy: Proxy, host: str) -> None:
    """In no notation, for it might take it for its own."""
    with pytest.raises(FetchError) as caught:
        await fetch(f"https://{host}/a", proxy.url)
    assert caught.value.fault is Fault.FORBIDDEN
    assert proxy.told == []


async def test_a_network_of_the_operators_is_told(proxy: Proxy) -> None:
    """`allow_cidrs` opens with a proxy what it opens without."""
    policy = EgressPolicy(proxy=proxy.url, allow_networks=(ip_network("127.0.0.0/8"),))
    async with Egress(policy) as egress:
        with pytest.raises(FetchError, match="502"):
            async with egress.get("https://127.0.0.2/", ANY_HOST):
                pass
    assert proxy.told == [("127.0.0.2", 443)]


@pytest.mark.parametrize(
    ("status", "fault"),
    [(403, Fault.FORBIDDEN), (407, Fault.FORBIDDEN), (502, Fault.NETWORK), (503, Fault.NETWORK)],
)
async def test_what_the_proxy_refuses_is_its_word(status: int, fault: Fault) -> None:
    """A host that it denies is for the operator to permit; whatever else it says may pass."""
    async with proxying(Proxy(lambda _: False, refusal=REFUSED % status)) as proxy:
        proxy.lead("127.0.0.1")
        with pytest.raises(
            FetchError, match=f"egress.proxy answers {status} for cdn.example"
        ) as it:
            await fetch("https://cdn.example/a?Signature=hush", proxy.url)
    assert proxy.told == [("cdn.example", 443)]
    assert it.value.fault is fault
    assert "hush" not in str(it.value)


async def test_a_proxy_that_is_not_there_may_come_back(proxy: Proxy) -> None:
    """It says nothing of the link."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(FetchError, match="cannot be reached") as caught:
        await fetch("https://cdn.example/a", url)
    assert caught.value.fault is Fault.NETWORK
