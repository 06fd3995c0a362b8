"""Pictures as text: what is one is found out, what is none is left alone."""

from __future__ import annotations

import asyncio
import textwrap
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterable
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import FetchError
from archiver.inline import begun, decoded, is_inline, is_text, joined, unpacked
from archiver.models import Fault
from tests.archiver.media_bodies import DAMAGED, STRANGERS, TOLERATED, TOO_LARGE, WHOLE

PICTURE, _ = WHOLE["png"]
TEXT = b64encode(PICTURE)
# Bytes that a picture or video may begin with, and so many that text could be told from them.
BODIES = {
    **{f"whole: {name}": body for name, (body, _) in WHOLE.items()},
    **{f"damaged: {name}": body for name, (body, _) in DAMAGED.items()},
    **{f"tolerated: {name}": body for name, body in TOLERATED.items()},
    **{f"too large: {name}": body for name, body in TOO_LARGE.items()},
    **{f"stranger: {name}": body for name, body in STRANGERS.items()},
}


def cut(body: bytes, size: int) -> list[bytes]:
    """The body in pieces of that size."""
    return [body[start : start + size] for start in range(0, len(body), size)]


async def _flow(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _read(chunks: Iterable[bytes]) -> bytes:
    """What capture makes of a body that comes in these chunks."""
    wire = _flow(chunks)
    first = await begun(wire)
    taken = decoded(first, wire) if is_text(first) else joined(first, wire)
    return b"".join([chunk async for chunk in taken])


def read(chunks: Iterable[bytes]) -> bytes:
    return asyncio.run(_read(chunks))


async def _unpack(url: str) -> bytes:
    return b"".join([chunk async for chunk in unpacked(url)])


def unpack(url: str) -> bytes:
    return asyncio.run(_unpack(url))


def _outcome(read_it: Callable[[], bytes]) -> bytes | Fault:
    try:
        return read_it()
    except FetchError as error:
        return error.fault


class TestBehindALink:
    """A body that may be base64 text."""

    @pytest.mark.parametrize("size", [*range(1, 9), 63, 64, 65, 66, 67, 100, 1 << 20])
    @pytest.mark.parametrize("prefix", [b"", b"data:image/png;base64,", b"\r\n DATA:;base64,"])
    def test_chunks_of_any_size(self, size: int, prefix: bytes) -> None:
        """The same picture comes of it, wherever the network cuts the text."""
        assert read(cut(prefix + TEXT, size)) == PICTURE

    @pytest.mark.parametrize(
        "text",
        [
            b"\r\n".join(cut(TEXT, 76)) + b"\r\n",
            b"\n".join(cut(TEXT, 7)),
            b" \t\n" + TEXT + b" \n",
            b"data:image/png;charset=utf-8;name=a.png;base64," + TEXT,
            b"data:image/svg+xml;base64,\n" + TEXT,
        ],
    )
    @pytest.mark.parametrize("size", [1, 5, 1 << 20])
    def test_as_people_write_it(self, text: bytes, size: int) -> None:
        """With line breaks as in MIME, blanks around, and parameters in the prefix."""
        assert read(cut(text, size)) == PICTURE

    @pytest.mark.parametrize("name", BODIES)
    @pytest.mark.parametrize("size", [1, 1 << 20])
    def test_no_picture_is_taken_for_text(self, name: str, size: int) -> None:
        """Every format, whole or damaged, passes byte for byte, and so does what is none."""
        assert read(cut(BODIES[name], size)) == BODIES[name]

    @pytest.mark.parametrize("body", [b"", b"QUJD", TEXT[:63]])
    def test_too_short_to_be_a_picture(self, body: bytes) -> None:
        """It is left as it is, for the walk to say what it is not."""
        assert read([body]) == body

    @pytest.mark.parametrize(
        "text",
        [
            TEXT[:-1],
            TEXT[:-5],
            TEXT[:101],
            TEXT[:100] + b"-" + TEXT[100:],
            TEXT[:100] + b"<html>" + TEXT[100:],
            TEXT[:100] + b"\xff" + TEXT[100:],
            b"QQ==" + TEXT,
            TEXT[:80] + b"QQ==" + TEXT[80:],
            b"A" * 65,
            b"A" * 64 + b"====",
            b"=" * 64,
            b"AccessDeniedBecauseYourSubscriptionHasExpiredPleaseRenewItOrSoAndThenTryAgain",
        ],
    )
    @pytest.mark.parametrize("size", [1, 4, 64, 100, 1 << 20])
    def test_broken_text(self, text: bytes, size: int) -> None:
        """It may come whole another time, as any body that is no picture; in whatever chunks."""
        with pytest.raises(FetchError) as raised:
            read(cut(text, size))
        assert raised.value.fault is Fault.NOT_MEDIA
        assert "base64" in str(raised.value)

    @given(
        st.binary(min_size=48),
        st.integers(1, 200),
        st.integers(1, 90),
        st.sampled_from([b"", b"\n", b"\r\n", b" \t"]),
        st.sampled_from([b"", b"data:image/png;base64,"]),
    )
    def test_round_trip(
        self, body: bytes, size: int, width: int, gap: bytes, prefix: bytes
    ) -> None:
        """Whatever was encoded is what is kept."""
        text = prefix + gap.join(cut(b64encode(body), width))
        assert read(cut(text, size)) == body

    @given(st.lists(st.binary(max_size=90) | st.sampled_from([TEXT, TEXT[:70], b"==", b"\n"])))
    def test_any_bytes(self, chunks: list[bytes]) -> None:
        """The same comes of them, or the same fault, however they are cut."""
        whole = b"".join(chunks)
        assert _outcome(lambda: read(chunks)) == _outcome(lambda: read([whole]))

    def test_a_chunk_is_decoded_when_it_comes(self) -> None:
        """A large text is never held whole: no more than a chunk is read ahead."""

        async def pull() -> list[int]:
            given_chunks = 0

            async def wire() -> AsyncIterator[bytes]:
                nonlocal given_chunks
                for chunk in cut(b"QUJD" * 4096, 1024):
                    given_chunks += 1
                    yield chunk

            chunks = wire()
            first = await begun(chunks)
            return [given_chunks async for chunk in decoded(first, chunks) if chunk]

        assert asyncio.run(pull()) == [*range(1, 17)]


class TestDataUrls:
    """RFC 2397."""

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            (f"data:image/png;base64,{TEXT.decode()}", PICTURE),
            (f"DATA:Image/PNG;Base64,{TEXT.decode()}", PICTURE),
            (f"data:;base64,{TEXT.decode()}", PICTURE),
            (f"data:image/png;charset=utf-8;base64,{TEXT.decode()}", PICTURE),
            (f"data:image/png;base64,{quote_from_bytes(TEXT, safe='')}", PICTURE),
            ("data:image/png;base64," + "%0A".join(textwrap.wrap(TEXT.decode(), 76)), PICTURE),
            ("data:image/png;base64," + "\n".join(textwrap.wrap(TEXT.decode(), 76)), PICTURE),
            (f"data:image/png,{quote_from_bytes(PICTURE)}", PICTURE),
            ("data:,a%20fox", b"a fox"),
            ("data:,a,b", b"a,b"),
            ("data:,", b""),
        ],
    )
    def test_unpacked(self, url: str, expected: bytes) -> None:
        """In base64 or with escapes, of any media type or none."""
        assert is_inline(url)
        assert unpack(url) == expected

    @pytest.mark.parametrize(
        "url",
        [
            "data:",
            "data:image/png;base64",
            "data:image/png;base64,QUJ",
            f"data:image/png;base64,{TEXT.decode()[:-1]}",
            "data:image/png;base64,A",
        ],
    )
    def test_broken(self, url: str) -> None:
        """No data at all, or base64 cut short."""
        with pytest.raises(FetchError) as raised:
            unpack(url)
        assert raised.value.fault is Fault.NOT_MEDIA

    @pytest.mark.parametrize("url", ["", "https://a/data:", " data:,", "database:,"])
    def test_a_link_is_a_link(self, url: str) -> None:
        """Only the scheme tells."""
        assert not is_inline(url)

    def test_a_huge_one(self) -> None:
        """Thirty megabytes are a picture like any other."""
        body = bytes(range(256)) * 120_000
        assert unpack(f"data:image/png;base64,{b64encode(body).decode()}") == body

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Nothing else is raised, whatever a provider writes."""
        for url in (f"data:{text}", f"data:;base64,{text}", f"data:;base64,{text}\ud800"):
            assert isinstance(_outcome(lambda url=url: unpack(url)), bytes | Fault)

    @given(st.binary())
    def test_round_trip(self, body: bytes) -> None:
        """Either way of writing stands for the same bytes."""
        assert unpack(f"data:image/png;base64,{b64encode(body).decode()}") == body
        assert unpack(f"data:image/png,{quote_from_bytes(body)}") == body
