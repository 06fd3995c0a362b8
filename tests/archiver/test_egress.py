"""The guarded client: what it asks, what it accepts, and what it never says."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import pytest

from archiver.egress import Egress, EgressPolicy
from archiver.errors import FetchError
from archiver.models import Fault
from tests.archiver.origin import Origin, answer, serve_origin

SECRET = "Signature=hush"


def policy_for(*origins: Origin, **settings: Any) -> EgressPolicy:
    """A policy that permits these origins' addresses and ports over plain HTTP, and no others."""
    return EgressPolicy(
        **{
            "allow_http": True,
            "allow_ports": frozenset(origin.port for origin in origins),
            "allow_networks": tuple(ip_network(origin.host) for origin in origins),
            **settings,
        }
    )


async def fetch(url: str, policy: EgressPolicy, hosts: tuple[str, ...] = ("127.0.0.1",)) -> bytes:
    """All the bytes at `url`, by a client of its own."""
    async with Egress(policy) as egress, egress.get(url, hosts) as incoming:
        return b"".join([chunk async for chunk in incoming.chunks()])


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with serve_origin() as origin:
        yield origin


async def test_a_good_answer_is_passed_on_as_it_comes(origin: Origin) -> None:
    """Bytes, declared length and headers are the origin's own."""
    origin.answers["/a.png"] = answer(body=b"picture", x_oss_hash_crc64ecma="7")
    async with (
        Egress(policy_for(origin)) as egress,
        egress.get(origin.url("/a.png"), ["127.0.0.1"]) as incoming,
    ):
        assert [chunk async for chunk in incoming.chunks()] == [b"picture"]
    assert incoming.declared_bytes == 7
    assert incoming.headers["X-OSS-Hash-CRC64ECMA"] == "7"


async def test_a_body_without_length_is_taken(origin: Origin) -> None:
    """A chunked answer declares nothing and is read to its end."""
    origin.answers["/a"] = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    async with (
        Egress(policy_for(origin)) as egress,
        egress.get(origin.url("/a"), ["127.0.0.1"]) as incoming,
    ):
        assert incoming.declared_bytes is None
        assert b"".join([chunk async for chunk in incoming.chunks()]) == b"abcde"


async def test_the_request_says_no_more_than_it_must(origin: Origin) -> None:
    """A GET with the query as written, asking for identity; no cookie goes back, no type."""
    origin.answers["/a"] = answer(body=b"x", Set_Cookie="spy=1; Path=/")
    query = "?Expires=1&Signature=%2b+/=%zz"
    async with Egress(policy_for(origin)) as egress:
        for _ in range(2):
            link = origin.url("/a" + query, host="localhost")  # an address would get no cookies
            async with egress.get(link, ["localhost"]) as incoming:
                assert [chunk async for chunk in incoming.chunks()] == [b"x"]
    first, second = origin.requests
    assert f"GET /a{query} HTTP/1.1" == first.splitlines()[0]
    assert "Accept-Encoding: identity" in first
    assert "content-type" not in first.lower()
    assert first == second


async def test_redirects_are_followed_from_place_to_place(origin: Origin) -> None:
    """Three are followed, relative ones too, their queries untouched."""
    origin.answers["/1"] = answer(302, location="/2?a=%2b+")
    origin.answers["/2"] = answer(301, location="3")
    origin.answers["/3"] = answer(307, location=origin.url("/4"))
    origin.answers["/4"] = answer(body=b"found")
    assert await fetch(origin.url("/1"), policy_for(origin)) == b"found"
    assert origin.requests[1].splitlines()[0] == "GET /2?a=%2b+ HTTP/1.1"


@pytest.mark.parametrize(
    ("location", "fault", "says"),
    [
        ("/loop", Fault.SERVER, "more than 3 times"),
        ("http://127.0.0.2/", Fault.FORBIDDEN, "download_hosts"),
        ("http://127.0.0.1:1/", Fault.FORBIDDEN, "allow_ports"),
        ("http://me@127.0.0.1/", Fault.FORBIDDEN, "user name"),
        ("file:///etc/passwd", Fault.FORBIDDEN, "not an https URL"),
        ("https://[", Fault.FORBIDDEN, "not a URL"),
    ],
)
async def test_a_redirect_is_judged_like_a_link(
    origin: Origin, location: str, fault: Fault, says: str
) -> None:
    """No redirect reaches what a link could not, and none goes on for ever."""
    origin.answers["/loop"] = answer(302, location=location)
    with pytest.raises(FetchError, match=says) as caught:
        await fetch(origin.url("/loop"), policy_for(origin))
    assert fault == caught.value.fault


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        writer.write(bytes(65536))
        await writer.drain()


async def _stuck(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
    await asyncio.Event().wait()


async def _silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _break_off(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")


async def _break_off_a_chunk(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nsome")


async def _no_http(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


@pytest.mark.parametrize(
    ("script", "settings", "fault"),
    [
        (answer(403, b"<Code>AccessDenied</Code>"), {}, Fault.REFUSED),
        (answer(429, retry_after="9"), {}, Fault.THROTTLED),
        (answer(500), {}, Fault.SERVER),
        (answer(206, b"part"), {}, Fault.SERVER),
        (answer(302), {}, Fault.SERVER),
        (answer(body=gzip.compress(bytes(9999)), content_encoding="gzip"), {}, Fault.SERVER),
        (answer(body=b"x" * 11), {"max_bytes": 10}, Fault.TOO_LARGE),
        (_endless, {"max_bytes": 10**6}, Fault.TOO_LARGE),
        (_endless, {"min_bytes_per_second": 10**15, "grace_seconds": 0}, Fault.NETWORK),
        (_break_off, {}, Fault.SHORT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nlonger", {}, Fault.SERVER),
        (_break_off_a_chunk, {}, Fault.SHORT),
        (_hang_up, {}, Fault.NETWORK),
        (_no_http, {}, Fault.SERVER),
    ],
)
async def test_each_trouble_is_a_fault_and_keeps_the_secret(
    origin: Origin, script: Any, settings: dict[str, Any], fault: Fault
) -> None:
    """Every way of going wrong ends in a FetchError that names the host and never the query."""
    origin.answers["/a"] = script
    with pytest.raises(FetchError) as caught:
        await fetch(origin.url(f"/a?{SECRET}"), policy_for(origin, **settings))
    assert fault == caught.value.fault
    assert "127.0.0.1" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("script", [_stuck, _silent])
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"read_seconds": 0.1, "total_seconds": 5}, "SocketTimeoutError"),
        ({"read_seconds": 5, "total_seconds": 0.1}, "TimeoutError"),
    ],
)
async def test_a_stuck_origin_is_given_up(
    origin: Origin, script: Any, settings: dict[str, Any], named: str
) -> None:
    """Neither a silence nor the whole transfer lasts longer than permitted."""
    origin.answers["/a"] = script
    with pytest.raises(FetchError, match=rf"\({named}\)") as caught:
        await fetch(origin.url("/a"), policy_for(origin, **settings))
    assert caught.value.fault == Fault.NETWORK


async def test_a_throttled_link_says_when_to_come_back(origin: Origin) -> None:
    """The source's own wish is handed on."""
    origin.answers["/a"] = answer(429, retry_after="9")
    with pytest.raises(FetchError) as caught:
        await fetch(origin.url("/a"), policy_for(origin))
    assert caught.value.retry_after_seconds == 9.0


async def test_nobody_listening_is_the_networks_fault(origin: Origin) -> None:
    """A refused connection is worth another try."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        policy = policy_for(origin, allow_ports=frozenset({port}))
        with pytest.raises(FetchError) as caught:
            await fetch(f"http://127.0.0.1:{port}/", policy)
    assert caught.value.fault == Fault.NETWORK


async def test_the_takers_own_errors_are_left_alone(origin: Origin) -> None:
    """A bucket's time-out inside the `with` is not blamed on the link."""
    origin.answers["/a"] = answer(body=b"x")
    async with Egress(policy_for(origin)) as egress:
        with pytest.raises(TimeoutError):
            async with egress.get(origin.url("/a"), ["127.0.0.1"]):
                raise TimeoutError
