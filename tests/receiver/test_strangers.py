"""What strangers may cost: bodies that never end, connections in numbers, links through a proxy."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import ConfigError
from receiver.reading import NoRoomError, Room
from tests.receiver.roles_in_process import Role, configuration, receiving, serving
from tests.receiver.wire import (
    CHUNKED,
    ask,
    chunked,
    connected,
    head,
    length,
    signature,
    webhook,
)
from tests.service import running

BEGINNING = 64 << 10


@given(st.lists(st.integers(0, 1 << 20), max_size=40))
def test_no_more_is_held_than_there_is_room_for(sizes: list[int]) -> None:
    """The beginnings apart; and whoever goes gives all of it back, refused or not."""
    room, held_bytes = Room(1 << 20), 0
    with ExitStack() as stack:
        for size in sizes:
            hold = stack.enter_context(room.share())
            with suppress(NoRoomError):
                hold(size)
                held_bytes += max(size - BEGINNING, 0)
        assert held_bytes <= 1 << 20
    with room.share() as hold:
        hold((1 << 20) + BEGINNING)
        with pytest.raises(NoRoomError):
            hold((1 << 20) + BEGINNING + 1)


async def test_large_bodies_that_never_end_leave_room_for_small_ones(tmp_path: Path) -> None:
    """503 with Retry-After for one large body more; a webhook in two packets is taken."""
    most = (1 << 20) - 1
    unfinished = head(signature(b"x"), (b"Content-Length", b"%d" % (most + 1))) + bytes(most)
    async with receiving(tmp_path) as role, AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(connected(role.port)) for _ in range(70)]
        for wire in wires:
            wire.writer.write(unfinished)
        answers = [asyncio.create_task(wire.answer()) for wire in wires]
        refused, _ = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert {(it.result().status, it.result().headers["retry-after"]) for it in refused} == {
            (503, "5")
        }
        whole = webhook(b'{"id": "small"}')
        small = await stack.enter_async_context(connected(role.port))
        await small.send(whole[:-3])
        await small.send(whole[-3:])
        assert (await small.answer()).status == 202
        for task in answers:
            task.cancel()


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[Role]:
    """The role `web` with no patience."""
    async with serving(tmp_path, listen={"read_seconds": 0.1, "keepalive_seconds": 1}) as role:
        yield role


PUT = b"/api/v1/generations/doitong/a"
UNFINISHED = {
    "a body": (head(length(b"0123456789"), method=b"PUT", path=PUT) + b"0", 408),
    "chunks": (head(CHUNKED, method=b"PUT", path=PUT) + chunked([b"0"]), 408),
    "a form": (head(length(b"0123456789"), path=b"/api/v1/jobs/claim") + b"0", 408),
    "a broken chunk": (head(CHUNKED, method=b"PUT", path=PUT) + b"zz\r\n", 400),
}


@pytest.mark.parametrize(("wire", "status"), UNFINISHED.values(), ids=UNFINISHED)
async def test_the_private_listener_waits_for_no_body_for_ever(
    hasty: Role, wire: bytes, status: int
) -> None:
    """Whoever may use it may not hold it: 408 after `read_seconds`, 400 for what is no body."""
    async with connected(hasty.port) as connection:
        assert (await connection.ask(wire)).status == status
        assert await connection.rest() == b""
    body = b'{"prompt": "a fox"}'
    whole = head(length(body), method=b"PUT", path=PUT) + body
    assert (await ask(hasty.port, whole)).status == 202
    assert [it.body for it in hasty.stored()] == [body]


@pytest.fixture
def few_files() -> Iterator[int]:
    """A process that may open few files, as most may; how many it might."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_role_may_open_as_many_files_as_it_has_connections(
    tmp_path: Path, few_files: int
) -> None:
    """The usual limit is for programs that wait by select(2), which nobody does here."""
    with running(tmp_path, roles=["receive"]) as service:
        soft, _ = resource.prlimit(service.pid("receive"), resource.RLIMIT_NOFILE)
    assert soft == min(65536, few_files)


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("https://proxy:4750", "not http://host:port"),
        ("proxy:4750", "not http://host:port"),
        ("http://proxy", "not http://host:port"),
        ("http://proxy:4750/path", "not http://host:port"),
        ("http://me:hush@proxy:4750", "no place for a secret"),
    ],
)
def test_a_proxy_is_a_host_and_a_port(tmp_path: Path, proxy: str, says: str) -> None:
    """Whatever else is written there is a mistake, and told without the password."""
    with pytest.raises(ConfigError, match=says) as caught:
        configuration(tmp_path, egress={"proxy": proxy})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["http://proxy.internal:4750", "http://[::1]:4750/", ""])
def test_a_proxy_may_stand_anywhere(tmp_path: Path, proxy: str) -> None:
    """Or nowhere, and then links are asked for directly."""
    assert configuration(tmp_path, egress={"proxy": proxy}).egress.proxy_url == (proxy or None)
