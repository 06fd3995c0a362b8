"""A sample is as large as was asked, random, and the same again."""

from __future__ import annotations

import hashlib

import pytest

from archiver.recovery.sample import chosen, sample_of

DIGESTS = [hashlib.sha256(b"%d" % number).digest() for number in range(1000)]


@pytest.mark.parametrize(
    ("text", "total", "count"),
    [
        ("1%", 1000, 10),
        ("1%", 50, 1),
        ("0.5%", 1000, 5),
        ("100%", 7, 7),
        ("1%", 0, 0),
        ("200", 1000, 200),
        (" 200 ", 30, 30),
    ],
)
def test_a_sample_is_so_large(text: str, total: int, count: int) -> None:
    """A part is of what there is, rounded up; a number no more than there is."""
    assert sample_of(text).count(total) == count


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "1.5", "-1", "1 %", "many", "٣%", "1e3"])
def test_what_is_no_sample(text: str) -> None:
    """Is said to be none, so that nobody believes that something was looked at."""
    with pytest.raises(ValueError, match="no sample such as"):
        sample_of(text)


def test_a_sample_is_drawn_from_everywhere_and_can_be_drawn_again() -> None:
    """The same seed draws the same digests, another one others, and neither from one corner."""
    one = chosen(DIGESTS, 100, b"one")
    assert one == sorted(one)
    assert set(one) <= set(DIGESTS)
    assert len(set(one)) == 100
    assert chosen(reversed(DIGESTS), 100, b"one") == one
    assert len(set(one) & set(chosen(DIGESTS, 100, b"other"))) < 50
    halves = sum(digest < b"\x80" for digest in one)
    assert 25 < halves < 75
