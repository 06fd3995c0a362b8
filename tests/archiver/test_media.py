"""Every format whole, cut, damaged, too large or something else, however it is cut into chunks."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.media import Flaw, Media, Walker
from archiver.models import Fault
from tests.archiver.media_bodies import (
    ALL,
    DAMAGED,
    IDAT,
    IEND,
    STRANGERS,
    TOLERATED,
    TOO_LARGE,
    WHOLE,
    drawn,
    png,
    png_chunk,
)


def judge(*chunks: bytes) -> Media | Flaw:
    walker = Walker()
    for chunk in chunks:
        walker.feed(chunk)
    return walker.finish()


def fault(*chunks: bytes) -> Fault | None:
    verdict = judge(*chunks)
    return verdict.fault if isinstance(verdict, Flaw) else None


@pytest.mark.parametrize(("body", "media_type"), WHOLE.values(), ids=WHOLE)
def test_knows_a_whole_picture_or_video(body: bytes, media_type: str) -> None:
    """Type, extension and, of a picture, the dimensions that were drawn."""
    kind, _, subtype = media_type.partition("/")
    width, height = (23, 14) if kind == "image" else (None, None)
    extension = subtype.replace("jpeg", "jpg")
    assert judge(body) == Media(
        media_type=media_type, extension=extension, width=width, height=height
    )


@pytest.mark.parametrize("body", TOLERATED.values(), ids=TOLERATED)
def test_accepts_what_is_odd_but_whole(body: bytes) -> None:
    """No picture is refused for what its format, or the practice of many, permits."""
    assert fault(body) is None


@pytest.mark.parametrize("body", [body for body, _ in WHOLE.values()], ids=WHOLE)
def test_finds_every_cut(body: bytes) -> None:
    """Wherever the bytes end too early, they are short; but what begins with a box's size, and
    ends there, might be anything."""
    unknowable = range(1, 5) if body[4:8] == b"ftyp" else range(0)
    for size in range(len(body)):
        expected = Fault.NOT_MEDIA if size in unknowable else Fault.SHORT
        assert expected == fault(body[:size]), f"cut to {size} bytes"


def test_finds_every_flipped_bit_of_a_png() -> None:
    """Checksums and structure leave no single bit of a PNG unguarded."""
    whole = bytearray(drawn("PNG"))
    for bit in range(8 * len(whole)):
        whole[bit // 8] ^= 1 << bit % 8
        assert fault(bytes(whole)) is not None, f"bit {bit} flipped"
        whole[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize(("body", "reason"), DAMAGED.values(), ids=DAMAGED)
def test_finds_broken_structure(body: bytes, reason: str) -> None:
    """A picture that contradicts its own format did not arrive whole, and the reason says how."""
    verdict = judge(body)
    assert isinstance(verdict, Flaw)
    assert verdict.fault == Fault.SHORT
    assert reason in verdict.reason


@pytest.mark.parametrize("body", TOO_LARGE.values(), ids=TOO_LARGE)
def test_refuses_a_bomb(body: bytes) -> None:
    """More pixels than anyone should decode are refused by the header alone."""
    assert fault(body) == Fault.TOO_LARGE


@pytest.mark.parametrize(("width", "height"), [(0, 1), (1, 0)])
def test_refuses_a_picture_without_area(width: int, height: int) -> None:
    """A side of zero pixels is no picture, though the file be whole."""
    assert fault(png(width, height, IDAT, IEND)) == Fault.NOT_MEDIA


@pytest.mark.parametrize(("name", "body"), STRANGERS.items(), ids=STRANGERS)
def test_names_what_is_no_picture_and_repeats_nothing(name: str, body: bytes) -> None:
    """The reason says what the bytes look like, and nothing that stands in them."""
    verdict = judge(body)
    assert isinstance(verdict, Flaw)
    assert verdict.fault == Fault.NOT_MEDIA
    assert name.strip() in verdict.reason
    assert "hunter2" not in verdict.reason


@given(st.sampled_from(ALL), st.lists(st.integers(0, 1200)))
def test_chunks_never_change_the_verdict(body: bytes, cuts: list[int]) -> None:
    """However a body is cut, empty chunks included, the verdict is that on the whole."""
    chunks = [body[start:end] for start, end in pairwise([0, *sorted(cuts), len(body)])]
    assert judge(body) == judge(*chunks)


@pytest.mark.parametrize("body", ALL, ids=range(len(ALL)))
def test_byte_by_byte_is_like_all_at_once(body: bytes) -> None:
    """The finest cut of all changes nothing either."""
    assert judge(body) == judge(*(body[at : at + 1] for at in range(len(body))))


@given(st.sampled_from(ALL), st.integers(0, 64), st.binary())
def test_is_total(body: bytes, kept: int, graft: bytes) -> None:
    """Whatever follows a known beginning, there is a verdict, and asking twice changes nothing."""
    walker = Walker()
    walker.feed(body[:kept] + graft)
    assert walker.finish() is walker.finish()


@pytest.mark.parametrize("body", ALL, ids=range(len(ALL)))
def test_lets_go_of_every_chunk(body: bytes) -> None:
    """A buffer can be filled anew as soon as it was fed (one in use cannot be cleared)."""
    walker = Walker()
    for start in range(0, len(body), 100):
        buffer = bytearray(body[start : start + 100])
        walker.feed(memoryview(buffer))
        buffer.clear()
    assert judge(body) == walker.finish()


def test_memory_does_not_grow_with_the_picture() -> None:
    """A PNG of 16 MiB, as one chunk or as many, is walked within one small buffer's memory."""
    pixels = bytes(1 << 16)
    chunk = png_chunk(b"IDAT", pixels)
    prefix = (16 << 20).to_bytes(4) + b"IDAT"
    tracemalloc.start()
    for pieces in ([chunk] * 256, [prefix, *[pixels] * 256, b"bad crc!"]):
        walker = Walker()
        walker.feed(png(9, 9))
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        for piece in pieces:
            walker.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
        assert peak - before < 3 * len(chunk)
    tracemalloc.stop()
