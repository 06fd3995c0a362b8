"""Nothing inside is reached: 127.0.0.2 plays the public internet, 127.0.0.1 the inside."""

import socket
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import ClassVar

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from archiver.egress import Egress, EgressPolicy
from archiver.errors import FetchError
from archiver.models import Fault
from tests.archiver.origin import Origin, answer, serve_origin


class FakeNames(AbstractResolver):
    """Names on loopback: 127.0.0.2 plays the public internet, 127.0.0.1 the inside."""

    names: ClassVar = {
        "pub.test": ["127.0.0.2"],
        "multi.test": ["127.0.0.1", "127.0.0.2"],
        "int.test": ["127.0.0.1"],
        "twice.test": ["127.0.0.1", "127.0.0.3"],
        "localhost": ["127.0.0.1"],
        "localhost.": ["127.0.0.1"],
        # What a system's resolver makes of odd spellings of 127.0.0.1.
        "2130706433": ["127.0.0.1"],
        "0x7f000001": ["127.0.0.1"],
        "0x7f.1": ["127.0.0.1"],
        "0177.0.0.1": ["127.0.0.1"],
        "127.1": ["127.0.0.1"],
        "0": ["127.0.0.1"],
    }

    def __init__(self) -> None:
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        rebinding = ["127.0.0.2"] if self.asked == 1 else ["127.0.0.1"]
        addresses = rebinding if host == "rebind.test" else self.names.get(host)
        if addresses is None:
            raise OSError("no such name")
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing to close."""


# Each of these reaches the inside unless its address is judged when connecting.
INSIDE = [
    "http://int.test:{inside}/x",
    "http://twice.test:{inside}/x",
    "http://127.0.0.1:{inside}/x",
    "http://0x7f000001:{inside}/x",
    "http://0x7f.1:{inside}/x",
    "http://[::ffff:127.0.0.1]:{inside}/x",
    "http://[::ffff:7f00:1]:{inside}/x",
    "http://localhost:{inside}/x",
    "http://localhost.:{inside}/x",
    "http://pub.test:{public}/to-int",
    "http://pub.test:{public}/to-literal",
    "http://pub.test:{public}/to-v6",
    "http://pub.test:{public}/to-relative",
    "http://pub.test:{public}/to-rebind",
]
# And these say what no setting permits.
NONSENSE = [
    "http://0:{inside}/x",
    "http://127.1:{inside}/x",
    "http://0177.0.0.1:{inside}/x",
    "http://2130706433:{inside}/x",
    "http://１２７.0.0.1:{inside}/x",
    "http://127。0。0。1:{inside}/x",
    "http://pub.test@127.0.0.1:{inside}/x",
    "http://pub.test\\@127.0.0.1:{inside}/x",
    "http://127.0.0.1:{inside}\\@pub.test/x",
    "http://[v1.fe80::1]:{inside}/x",
    "http://pub.test:{public}/to-file",
    "http://pub.test:{public}/to-user",
]
HOSTS = [
    *FakeNames.names,
    "rebind.test",
    "127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "v1.fe80::1",
]


@pytest.fixture
async def street() -> AsyncIterator[tuple[Origin, Origin]]:
    """A public origin that redirects inwards, and the inside that it should not reach."""
    async with serve_origin("127.0.0.2") as public, serve_origin("127.0.0.1") as inside:
        inside.answers["/x"] = answer(body=b"secret")
        public.answers["/ok"] = answer(body=b"picture")
        for name, location in {
            "int": inside.url("/x", host="int.test"),
            "literal": inside.url("/x"),
            "v6": inside.url("/x", host="[::ffff:7f00:1]"),
            "relative": f"//127.0.0.1:{inside.port}/x",
            "file": "file:///etc/passwd",
            "user": f"http://pub.test@127.0.0.1:{inside.port}/x",
            "rebind": inside.url("/x", host="rebind.test"),
        }.items():
            public.answers[f"/to-{name}"] = answer(302, location=location)
        yield public, inside


async def visit(street: tuple[Origin, Origin], url: str, allowed: tuple[str, ...]) -> None:
    """Ask for a link, every host and port allowed, with only these networks open."""
    public, inside = street
    policy = EgressPolicy(
        allow_http=True,
        allow_ports=frozenset({public.port, inside.port}),
        allow_networks=tuple(ip_network(network) for network in allowed),
    )
    link = url.format(public=public.port, inside=inside.port)
    async with Egress(policy, resolver=FakeNames()) as egress, egress.get(link, HOSTS):
        pass


@pytest.mark.parametrize("url", INSIDE)
async def test_nothing_inside_is_ever_reached(street: tuple[Origin, Origin], url: str) -> None:
    """The address alone keeps the inside out of reach, and the operator learns what to change."""
    with pytest.raises(FetchError, match=r"egress\.allow_cidrs") as caught:
        await visit(street, url, ("127.0.0.2/32",))
    assert caught.value.fault == Fault.FORBIDDEN
    assert street[1].requests == []


@pytest.mark.parametrize("url", INSIDE)
async def test_the_address_is_all_that_keeps_it_out(
    street: tuple[Origin, Origin], url: str
) -> None:
    """The same link does reach the inside once its network is allowed."""
    await visit(street, url, ("127.0.0.0/8",))
    assert len(street[1].requests) == 1


@pytest.mark.parametrize("url", NONSENSE)
async def test_nonsense_reaches_nothing(street: tuple[Origin, Origin], url: str) -> None:
    """Odd spellings and smuggled hosts are refused even where every address is allowed."""
    with pytest.raises(FetchError) as caught:
        await visit(street, url, ("127.0.0.0/8",))
    assert caught.value.fault == Fault.FORBIDDEN
    assert street[1].requests == []


@pytest.mark.parametrize("host", ["pub.test", "multi.test", "rebind.test"])
async def test_the_outside_is_reached(street: tuple[Origin, Origin], host: str) -> None:
    """A public address is reached, also when it is one of two or another the next time."""
    await visit(street, f"http://{host}:{{public}}/ok", ("127.0.0.2/32",))
    assert len(street[0].requests) == 1
