"""A listener's limits and its end, with an application that tells the test what it sees."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

import receiver.listener
from receiver.listener import listening
from tests.receiver.wire import (
    PATIENCE_SECONDS,
    Answer,
    closed_to_newcomers,
    connected,
    head,
    length,
)

ASK = head(method=b"GET", path=b"/")
TEN = head(length(b"0123456789"), path=b"/") + b"0123456789"


@dataclass
class Counter:
    """Answers with the body it was given, once `open` is set."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    requests: asyncio.Queue[web.Request] = field(default_factory=asyncio.Queue)

    async def reached_by(self, count: int) -> None:
        """Returns once so many more requests have come."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(count):
                await self.requests.get()

    async def answer(self, request: web.Request) -> web.Response:
        self.reached.set()
        self.requests.put_nowait(request)
        await self.open.wait()
        return web.Response(body=await request.read())


@dataclass(frozen=True, slots=True)
class Listening:
    """A listener, what stands behind it, and a way to end it before the test does."""

    port: int
    counter: Counter
    end: asyncio.Event
    task: asyncio.Task[None]

    async def ended(self) -> None:
        """Returns once it has ended; it must have been told to."""
        await asyncio.wait_for(asyncio.shield(self.task), PATIENCE_SECONDS)


@asynccontextmanager
async def listener(**limits: Any) -> AsyncIterator[Listening]:
    """A listener with easy limits where none are given."""
    counter, end, ready = Counter(), asyncio.Event(), asyncio.Event()
    bound = socket.create_server(("127.0.0.1", 0))
    app = web.Application()
    app.add_routes([web.route("*", "/", counter.answer)])
    easy: dict[str, Any] = {"keepalive_seconds": 30, "max_connections": 100, "drain_seconds": 10}

    async def listen() -> None:
        async with listening(app, bound, **{**easy, **limits}):
            ready.set()
            await end.wait()

    counter.open.set()
    task = asyncio.create_task(listen())
    await ready.wait()
    try:
        yield Listening(bound.getsockname()[1], counter, end, task)
    finally:
        end.set()
        await asyncio.wait_for(task, PATIENCE_SECONDS)


async def answered(port: int) -> Answer:
    """The first answer of a connection that is not turned away; turned away, it tries again."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            async with connected(port) as wire:
                answer = await wire.ask(ASK)
            if answer.status != 503:
                return answer


async def test_who_has_asked_is_never_sent_away_for_a_newcomer() -> None:
    """503 with Retry-After comes without a request, and room that is given up is room again."""
    async with listener(max_connections=2) as it:
        async with connected(it.port) as one, connected(it.port) as two:
            it.counter.open.clear()
            await asyncio.gather(one.send(ASK), two.send(TEN))
            await it.counter.reached_by(2)
            async with connected(it.port) as third:
                answer = await third.answer()
                assert await third.rest() == b""
            it.counter.open.set()
            assert [(await wire.answer()).status for wire in (one, two)] == [200, 200]
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert answer.headers["connection"] == "close"
        assert (await answered(it.port)).status == 200


QUIET = {
    "nothing": b"",
    "half a header": b"POST / HTTP/1.1\r\nHost: 127",
    "half a body": TEN[:-5],
}


@pytest.mark.parametrize("said", QUIET.values(), ids=QUIET)
async def test_who_asks_nothing_makes_room_for_who_comes(said: bytes) -> None:
    """Whatever a stranger has begun on all the connections there may be, others are served."""
    async with (
        listener(max_connections=2) as it,
        connected(it.port) as one,
        connected(it.port) as two,
    ):
        for wire in (one, two):
            await wire.send(said)
        if said == TEN[:-5]:
            await it.counter.reached_by(2)
        async with connected(it.port) as third:
            assert (await third.ask(ASK)).status == 200
            assert await one.rest() == b""
            assert (await third.ask(ASK)).status == 200


async def test_who_was_answered_once_stays() -> None:
    """A proxy that keeps its connections may be asking again at the very moment."""
    async with (
        listener(max_connections=1) as it,
        connected(it.port) as one,
    ):
        assert (await one.ask(ASK)).status == 200
        async with connected(it.port) as another:
            assert (await another.answer()).status == 503
        assert (await one.ask(ASK)).status == 200


async def test_who_waits_for_nothing_goes_before_who_sends_a_body() -> None:
    """Even where it came later."""
    async with (
        listener(max_connections=2) as it,
        connected(it.port) as sender,
        connected(it.port) as idler,
    ):
        await sender.send(TEN[:-5])
        await it.counter.reached_by(1)
        async with connected(it.port) as third:
            assert (await third.ask(ASK)).status == 200
            assert await idler.rest() == b""
            await sender.send(TEN[-5:])
            assert (await sender.answer()).body == b"0123456789"


@pytest.mark.parametrize("half", [b"", b"POST / HTTP/1.1\r\nHost: 127"], ids=["nothing", "half"])
async def test_half_a_header_is_closed_in_the_end(half: bytes) -> None:
    """Who begins and does not go on is closed after `keepalive_seconds`, without an answer."""
    async with listener(keepalive_seconds=0.1) as it, connected(it.port) as wire:
        await wire.send(half)
        assert await wire.rest() == b""


async def test_a_header_that_drips_is_closed_all_the_same() -> None:
    """A byte now and then buys no time."""
    async with listener(keepalive_seconds=0.1) as it, connected(it.port) as wire:
        dripping = asyncio.create_task(drip(wire.writer))
        assert await wire.rest() == b""
        dripping.cancel()


async def drip(writer: asyncio.StreamWriter) -> None:
    """A header without end."""
    writer.write(b"POST / HTTP/1.1\r\nX: ")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.01)


async def test_a_quiet_connection_is_kept_and_then_closed() -> None:
    """One connection serves many requests, until `keepalive_seconds` without any."""
    async with listener(keepalive_seconds=0.1) as it, connected(it.port) as wire:
        assert [(await wire.ask(ASK)).status for _ in range(2)] == [200, 200]
        assert await wire.rest() == b""


async def test_nothing_is_decompressed() -> None:
    """The application sees the bytes of the wire, whatever their encoding is said to be."""
    async with listener() as it, connected(it.port) as wire:
        packed = head(length(b"not gzip"), (b"Content-Encoding", b"gzip"), path=b"/") + b"not gzip"
        answer = await wire.ask(packed)
        assert (answer.status, answer.body) == (200, b"not gzip")


@pytest.mark.parametrize(("limits", "status"), [({}, 400), ({"max_line_bytes": 1 << 15}, 200)])
async def test_a_first_line_is_as_long_as_it_may_be(limits: dict[str, int], status: int) -> None:
    """A search may be a pasted prompt; a webhook's path never is."""
    async with listener(**limits) as it, connected(it.port) as wire:
        answer = await wire.ask(head(method=b"GET", path=b"/?q=" + b"%E5%B0%91" * 2000))
        assert answer.status == status


async def test_a_request_under_way_is_answered_before_the_end() -> None:
    """From the end on nobody new is let in, and who is inside gets the answer."""
    async with listener() as it, connected(it.port) as wire:
        it.counter.open.clear()
        await wire.send(TEN)
        await it.counter.reached.wait()
        it.end.set()
        await closed_to_newcomers(it.port)
        assert not it.task.done()
        it.counter.open.set()
        assert (await wire.answer()).body == b"0123456789"
        await it.ended()


async def test_a_body_under_way_is_read_to_its_end() -> None:
    """A sender in the middle of its body when the end begins is heard out."""
    async with listener() as it, connected(it.port) as wire:
        await wire.send(TEN[:-5])
        await it.counter.reached.wait()
        it.end.set()
        await closed_to_newcomers(it.port)
        await wire.send(TEN[-5:])
        assert (await wire.answer()).body == b"0123456789"
        await it.ended()


async def test_the_end_waits_for_no_more_than_its_time() -> None:
    """A request that hangs is cut off after `drain_seconds`."""
    async with listener(drain_seconds=0.1) as it, connected(it.port) as wire:
        it.counter.open.clear()
        await wire.send(TEN)
        await it.counter.reached.wait()
        it.end.set()
        assert await wire.rest() == b""
        await it.ended()


async def test_a_connection_at_rest_hears_which_request_was_its_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A request that comes just as the end begins is answered, and its sender told to come anew;
    who has been told so keeps nobody waiting."""
    monkeypatch.setattr(receiver.listener, "_PARTING_SECONDS", 10 * PATIENCE_SECONDS)
    easy = {"drain_seconds": 10 * PATIENCE_SECONDS}
    async with listener(**easy) as it, connected(it.port) as wire, connected(it.port) as other:
        assert [(await one.ask(ASK)).headers.get("connection") for one in (wire, other)] == [
            None
        ] * 2
        it.end.set()
        await closed_to_newcomers(it.port)
        for one in (wire, other):
            answer = await one.ask(TEN)
            assert (answer.body, answer.headers["connection"]) == (b"0123456789", "close")
            assert await one.rest() == b""
        await it.ended()


async def test_an_idle_connection_does_not_delay_the_end() -> None:
    """Connections that are only kept alive are closed after a moment."""
    hours = {"keepalive_seconds": 3600, "drain_seconds": 3600}
    async with listener(**hours) as it, connected(it.port) as wire:
        await wire.ask(ASK)
        it.end.set()
        assert await wire.rest() == b""
        await it.ended()
