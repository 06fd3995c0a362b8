"""Content-encodings are undone as far as they are sane."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import UnreadableError
from receiver.decoding import MAX_DECODED_BYTES, decoded

BODY = b'{"id": "abc123xyz"}'
ENCODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"identity": bytes,
}


def encoding(*values: bytes) -> list[tuple[bytes, bytes]]:
    """Headers with these values of Content-Encoding."""
    return [(b"Content-Type", b"br"), *((b"Content-Encoding", value) for value in values)]


@pytest.mark.parametrize("headers", [[], encoding(), encoding(b""), encoding(b" , ")])
def test_what_is_not_encoded_stays(headers: list[tuple[bytes, bytes]]) -> None:
    """A body without a content-encoding is the wire's, byte for byte."""
    assert decoded(headers, BODY) == BODY


@given(st.lists(st.sampled_from(sorted(ENCODERS)), max_size=4), st.binary(), st.booleans())
def test_encodings_are_undone_in_reverse(names: list[bytes], body: bytes, apart: bool) -> None:
    """As they are listed so they were applied (RFC 9110, 8.4), in one header or in several."""
    wire = body
    for name in names:
        wire = ENCODERS[name](wire)

    assert decoded(encoding(*names if apart else [b", ".join(names)]), wire) == body


@pytest.mark.parametrize(
    "header",
    [
        (b"content-encoding", b"gzip"),
        (b"CONTENT-ENCODING", b" GZip\t"),
        (b"Content-Encoding", b"identity, gzip,"),
    ],
)
def test_names_have_no_case(header: tuple[bytes, bytes]) -> None:
    """Neither the header's nor the encoding's."""
    assert decoded([header], gzip.compress(BODY)) == BODY


@pytest.mark.parametrize("name", [b"gzip", b"deflate"])
def test_the_cap_is_for_what_comes_out(name: bytes) -> None:
    """A body may inflate up to it, and not by one byte more."""
    most = ENCODERS[name](bytes(MAX_DECODED_BYTES))
    bomb = ENCODERS[name](bytes(MAX_DECODED_BYTES + 1))

    assert len(decoded(encoding(name), most)) == MAX_DECODED_BYTES
    with pytest.raises(UnreadableError, match=f"inflates beyond {MAX_DECODED_BYTES} bytes"):
        decoded(encoding(name), bomb)


def test_a_bomb_within_a_bomb_is_one() -> None:
    """The cap holds at every layer."""
    bomb = gzip.compress(gzip.compress(bytes(MAX_DECODED_BYTES * 2)))

    with pytest.raises(UnreadableError, match="inflates beyond"):
        decoded(encoding(b"gzip, gzip"), bomb)


UNREADABLE: dict[str, tuple[bytes, bytes, str]] = {
    "an encoding we do not undo": (b"br", BODY, "the content-encoding 'br' is not one we undo"),
    "one under one that we do": (b"zstd, gzip", gzip.compress(BODY), "'zstd' is not one we undo"),
    "no text at all": (b"\xff", BODY, "'ÿ' is not one we undo"),
    "not gzip": (b"gzip", BODY, "the body is not gzip"),
    "gzip for deflate": (b"deflate", gzip.compress(BODY), "the body is not deflate"),
    "deflate for gzip": (b"gzip", zlib.compress(BODY), "the body is not gzip"),
    "deflate for x-gzip": (b"x-gzip", zlib.compress(BODY), "the body is not x-gzip"),
    "encoded once, named twice": (b"gzip, gzip", gzip.compress(BODY), "the body is not gzip"),
    "nothing": (b"gzip", b"", "the gzip body is cut short"),
    "another after it": (b"gzip", gzip.compress(BODY) * 2, "something follows the gzip body"),
    "cut in the middle": (b"gzip", gzip.compress(BODY)[:-20], "the gzip body is cut short"),
    "cut before its checksum": (b"gzip", gzip.compress(BODY)[:-8], "the gzip body is cut short"),
    "cut by a byte": (b"deflate", zlib.compress(BODY)[:-1], "the deflate body is cut short"),
    "a wrong checksum": (b"gzip", gzip.compress(BODY)[:-8] + bytes(8), "the body is not gzip"),
}


@pytest.mark.parametrize(("name", "body", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable(name: bytes, body: bytes, reason: str) -> None:
    """What cannot be undone is kept with the reason."""
    with pytest.raises(UnreadableError, match=re.escape(reason)):
        decoded(encoding(name), body)


@given(
    st.lists(st.sampled_from([b"gzip", b"deflate", b"gzip, gzip"]) | st.binary(), max_size=2),
    st.binary() | st.binary().map(gzip.compress),
    st.integers(0, 40),
    st.integers(0, 255),
)
def test_nothing_else_is_raised(values: list[bytes], body: bytes, at: int, bits: int) -> None:
    """No header and no body, damaged anywhere, raise anything but UnreadableError."""
    damaged = bytes(byte ^ bits if place == at else byte for place, byte in enumerate(body))
    try:
        plain = decoded(encoding(*values), damaged)
    except UnreadableError:
        return
    assert len(plain) <= MAX_DECODED_BYTES
