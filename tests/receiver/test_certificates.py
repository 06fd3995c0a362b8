"""Certificates over real HTTP: what is fetched, how often, and what is made of trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import pytest

from archiver.egress import EgressPolicy
from receiver.certificates import (
    DOUBT_SECONDS,
    KEPT_SECONDS,
    MAX_FETCHES_PER_MINUTE,
    MAX_KEPT,
    Certificates,
)
from tests.archiver.origin import Origin, answer, serve_origin
from tests.clocks import NOON
from tests.receiver.signed_events import ANOTHER, certificate

PEM, NEXT_PEM = certificate(NOON), certificate(NOON, ANOTHER)


@dataclass
class Seconds:
    """A monotonic clock that a test holds in its hands."""

    at: float = 1_000_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with serve_origin() as origin:
        origin.answers["/a.pem"] = answer(body=PEM)
        yield origin


def certificates(origin: Origin, seconds: Seconds, **settings: Any) -> Certificates:
    """A cache that may fetch from this origin only."""
    permitted = {
        "allow_http": True,
        "allow_ports": frozenset({origin.port}),
        "allow_networks": (ip_network("127.0.0.1"),),
    }
    return Certificates(EgressPolicy(**{**permitted, **settings}), seconds)


async def test_what_was_fetched_is_kept_for_a_day(origin: Origin) -> None:
    """It is at hand without another request, until it is a day old."""
    seconds = Seconds()
    cache, url = certificates(origin, seconds), origin.url("/a.pem")
    assert cache.kept(url) is None
    fetched = await cache.fetch(url, origin.host)
    assert fetched is not None
    seconds.at += KEPT_SECONDS - 1
    assert cache.kept(url) is fetched
    seconds.at += 1
    assert cache.kept(url) is None
    assert len(origin.requests) == 1


async def test_who_waits_at_once_waits_for_one_request(origin: Origin) -> None:
    """A burst of events after a start asks once."""
    cache, url = certificates(origin, Seconds()), origin.url("/a.pem")
    found = await asyncio.gather(*(cache.fetch(url, origin.host) for _ in range(50)))
    assert None not in found
    assert len(origin.requests) == 1


async def test_a_waiter_that_leaves_takes_nothing_from_the_others(origin: Origin) -> None:
    """The request under way goes on for who still waits."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def held_back(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_on.wait()
        writer.write(answer(body=PEM))

    origin.answers["/a.pem"] = held_back
    cache, url = certificates(origin, Seconds()), origin.url("/a.pem")
    leaving, staying = (asyncio.ensure_future(cache.fetch(url, origin.host)) for _ in "12")
    await asked.wait()
    leaving.cancel()
    go_on.set()
    assert await staying is not None
    assert len(origin.requests) == 1


async def test_a_copy_is_doubted_once_a_minute(origin: Origin) -> None:
    """And what is fetched then takes its place."""
    seconds = Seconds()
    cache, url = certificates(origin, seconds), origin.url("/a.pem")
    assert cache.may_have_changed(url)
    first = await cache.fetch(url, origin.host)
    seconds.at += DOUBT_SECONDS - 1
    assert not cache.may_have_changed(url)
    seconds.at += 1
    assert cache.may_have_changed(url)
    origin.answers["/a.pem"] = answer(body=NEXT_PEM)
    second = await cache.fetch(url, origin.host)
    assert first != second
    assert cache.kept(url) is second


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        writer.write(bytes(65536))
        await writer.drain()


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


TROUBLE = {
    "not there": answer(404),
    "refused": answer(403),
    "broken": answer(500),
    "a redirect to a good one": answer(302, location="/a.pem"),
    "a redirect elsewhere": answer(302, location="http://169.254.169.254/"),
    "a page": answer(body=b"<html>log in, please</html>"),
    "empty": answer(body=b""),
    "said to be too large": answer(body=PEM + b"\n" * (64 << 10)),
    "without end": _endless,
    "a closed connection": _hang_up,
    "cut short": answer(body=PEM).replace(b"Content-Length: ", b"Content-Length: 9"),
    "encoded": answer(body=PEM, content_encoding="gzip"),
}


@pytest.mark.parametrize("script", TROUBLE.values(), ids=TROUBLE)
async def test_trouble_is_no_certificate_and_nothing_worse(origin: Origin, script: Any) -> None:
    """None, never an exception; nothing is kept, and the next answer may be good."""
    cache, url = certificates(origin, Seconds()), origin.url("/b.pem")
    origin.answers["/b.pem"] = script
    assert await cache.fetch(url, origin.host) is None
    assert cache.kept(url) is None
    assert not any(" /a.pem " in request for request in origin.requests)
    origin.answers["/b.pem"] = answer(body=PEM)
    assert await cache.fetch(url, origin.host) is not None


async def test_an_old_copy_outlives_trouble_for_its_day(origin: Origin) -> None:
    """What cannot be fetched anew is still what it was."""
    seconds = Seconds()
    cache, url = certificates(origin, seconds), origin.url("/a.pem")
    first = await cache.fetch(url, origin.host)
    origin.answers["/a.pem"] = answer(500)
    seconds.at += DOUBT_SECONDS
    assert await cache.fetch(url, origin.host) is None
    assert cache.kept(url) is first


async def test_a_private_address_is_not_asked(origin: Origin) -> None:
    """However the name was permitted, the guarded client judges where it leads."""
    cache = certificates(origin, Seconds(), allow_networks=())
    assert await cache.fetch(origin.url("/a.pem"), origin.host) is None
    assert origin.requests == []


async def test_strangers_cannot_make_us_ask_without_end(origin: Origin) -> None:
    """Each may name another URL, so all of them together are bounded by the minute."""
    seconds = Seconds()
    cache = certificates(origin, seconds)
    urls = [origin.url(f"/{number}.pem") for number in range(2 * MAX_FETCHES_PER_MINUTE)]
    for url in urls:
        await cache.fetch(url, origin.host)
    assert len(origin.requests) == MAX_FETCHES_PER_MINUTE
    assert await cache.fetch(origin.url("/a.pem"), origin.host) is None
    seconds.at += 60
    assert await cache.fetch(origin.url("/a.pem"), origin.host) is not None


async def test_only_a_few_are_kept_and_the_used_ones_stay(origin: Origin) -> None:
    """Who can name many URLs of good certificates cannot fill the memory nor push out ours."""
    seconds = Seconds()
    cache, ours = certificates(origin, seconds), origin.url("/a.pem")
    await cache.fetch(ours, origin.host)
    others = [origin.url(f"/a.pem?{number}") for number in range(2 * MAX_KEPT)]
    for url in others:
        seconds.at += 10
        assert await cache.fetch(url, origin.host) is not None
        assert cache.kept(ours) is not None
    kept = [url for url in (ours, *others) if cache.kept(url) is not None]
    assert kept == [ours, *others[-(MAX_KEPT - 1) :]]
