"""The public listener as strangers meet it: broken HTTP, and nothing but webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.receiver.roles_in_process import Role, receiving
from tests.receiver.wire import (
    CHUNKED,
    LAST_CHUNK,
    ask,
    chunked,
    connected,
    head,
    length,
    signature,
    webhook,
)

BODY = b'{"id":"abc123"}'
SIGNED = signature(BODY)


@pytest.fixture
async def role(tmp_path: Path) -> AsyncIterator[Role]:
    """The role `receive` with ordinary settings."""
    async with receiving(tmp_path) as running:
        yield running


BROKEN = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
    "no version": b"POST /webhooks/doitong\r\n\r\n",
    "another version": webhook(BODY).replace(b"HTTP/1.1", b"HTTP/9.9"),
    "no method": webhook(BODY).replace(b"POST", b"P\x00ST"),
    "no host": webhook(BODY).replace(b"Host:", b"Hast:"),
    "lines without carriage return": webhook(BODY).replace(b"\r\n", b"\n"),
    "a header name with a space": webhook(BODY, (b"X-A ", b"a")),
    "a header with a zero": webhook(BODY, (b"X-A", b"a\0b")),
    "a folded header": webhook(BODY, (b"X-A", b"a\r\n b")),
    "a header too long": webhook(BODY, (b"X-A", b"a" * 9000)),
    "too many headers": webhook(BODY, *[(b"X-A", b"a")] * 1000),
    "a path that is none": head(SIGNED, length(BODY), path=b"/webhooks/\xe9") + BODY,
    "two lengths": webhook(BODY, length(BODY + b" ")),
    "the same length twice": webhook(BODY, length(BODY)),
    "a length below zero": head(SIGNED, (b"Content-Length", b"-1")),
    "a length with a plus": head(SIGNED, (b"Content-Length", b"+15")) + BODY,
    "a length beyond all bounds": head(SIGNED, (b"Content-Length", b"9" * 40)),
    "length and chunks": webhook(BODY, CHUNKED),
    "chunks by another name": head(SIGNED, (b"Transfer-Encoding", b"xchunked")) + BODY,
    "chunks of chunks": head(SIGNED, (b"Transfer-Encoding", b"chunked, identity")) + BODY,
    "a chunk of no size": head(SIGNED, CHUNKED) + b"size\r\n" + BODY,
    "a broken second chunk": head(SIGNED, CHUNKED) + chunked([BODY]) + b"zz\r\n" + BODY,
    "a chunk without its end": head(SIGNED, CHUNKED) + b"1\r\n" + BODY + LAST_CHUNK,
}


@pytest.mark.parametrize("wire", BROKEN.values(), ids=BROKEN)
async def test_broken_http_is_refused_for_good(role: Role, wire: bytes) -> None:
    """400, however right the signature: what has two readings is not read at all."""
    answer = await ask(role.port, wire)
    assert answer.status == 400
    assert role.stored() == []


async def test_after_broken_http_nothing_more_is_read(role: Role) -> None:
    """The connection is closed, so no part of it can pose as another request."""
    async with connected(role.port) as wire:
        assert (await wire.ask(BROKEN["length and chunks"] + webhook(BODY))).status == 400
        assert await wire.rest() == b""
        assert role.stored() == []


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"])
async def test_webhooks_are_posted(role: Role, method: bytes) -> None:
    """405 for any other method, and what would be allowed."""
    async with connected(role.port) as wire:
        await wire.send(head(SIGNED, method=method))
        status, *headers = (await wire.reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    assert b"405" in status
    assert b"allow: post" in headers


@pytest.mark.parametrize(
    "path", ["/", "/webhooks", "/webhooks/", "/webhooks/doitong/x", "/metrics", "/api/v1/assets"]
)
async def test_there_is_nothing_else(role: Role, path: str) -> None:
    """The archive, its search and its metrics are not to be had here."""
    for method in (b"GET", b"POST", b"PUT"):
        answer = await ask(role.port, head(SIGNED, length(b""), method=method, path=path.encode()))
        assert answer.status == 404


async def test_a_balancer_sees_that_it_lives_and_works(role: Role) -> None:
    """`/healthz` and `/readyz` stand beside the webhooks."""
    paths = [b"/healthz", b"/readyz"]
    answers = [await ask(role.port, head(method=b"GET", path=path)) for path in paths]
    assert [(it.status, it.body) for it in answers] == [(200, b"alive\n"), (200, b"ready\n")]
