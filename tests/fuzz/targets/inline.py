"""Pictures that come as text, in `data:` URLs or as base64 behind a link."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Coroutine

from archiver import inline
from archiver.errors import FetchError
from archiver.inline import begun, decoded, is_inline, is_text, joined, unpacked
from archiver.models import Fault
from tests.fuzz.target import Sabotage, Target

_SIZES = (1, 3, 64, 4096)
_WITH_HEAD = re.compile(rb"\s*data:[\w/+.;=-]*;base64,", re.IGNORECASE).match
_CANONICAL = re.compile(
    rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
).fullmatch


def law(data: bytes) -> None:
    """However it is cut, the same bytes or the same refusal, and those that base64 stands for."""
    found = {_read(data, size) for size in _SIZES}
    assert len(found) == 1
    (taken,) = found
    if is_text(data[:64]):
        text = data if _WITH_HEAD(data) is None else data.partition(b",")[2]
        plain = text.translate(None, b" \t\r\n")
        if taken is not None:
            assert b64decode(plain, validate=True) == taken
        elif _CANONICAL(plain):
            assert b64encode(b64decode(plain)) != plain
    else:
        assert taken == data
    url = data.decode("utf-8", "surrogateescape")
    if is_inline(url):
        unpicked = _unpacked(url)
        assert unpicked is None or len(unpicked) <= len(data)


def _read(data: bytes, size: int) -> bytes | None:
    """What capture makes of a body in pieces of that size; None if it is refused."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    async def read() -> bytes:
        wire = pieces()
        first = await begun(wire)
        taken = decoded(first, wire) if is_text(first) else joined(first, wire)
        return b"".join([chunk async for chunk in taken])

    return _run(read())


def _unpacked(url: str) -> bytes | None:
    async def read() -> bytes:
        return b"".join([chunk async for chunk in unpacked(url)])

    return _run(read())


def _run(work: Coroutine[None, None, bytes]) -> bytes | None:
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    except FetchError as error:
        assert error.fault is Fault.NOT_MEDIA
        return None
    raise AssertionError("it waits for nothing")


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="refusing what is no base64", owner=inline, name="_decode", instead=b64decode
    ),
    words=(
        b"data:image/png;base64,",
        b"====",
        b"A" * 64,
        b"iVBORw0KGgo",
        b"\r\n",
        b"%2B",
        b";base64,",
    ),
)
