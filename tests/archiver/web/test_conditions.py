"""What clients have already, and parts of things, as RFC 9110 has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.web.conditions import Part, UnsatisfiableError, is_known, wanted_part

ETAG = '"abc"'
KNOWN = ['"abc"', 'W/"abc"', "*", " * ", '"x", "abc"', '"x","y,z" , W/"abc","q"', '"",  "abc"']
UNKNOWN = [None, "", "abc", '"ABC"', '"x"', '"x,"abc', "'abc'", '"*"', "w/", '"a"bc"']


@pytest.mark.parametrize(
    ("said", "known"), [*((it, True) for it in KNOWN), *((it, False) for it in UNKNOWN)]
)
def test_who_has_it_need_not_be_told(said: str | None, known: bool) -> None:
    """One tag of the list is enough, weak or strong; a star stands for all."""
    assert is_known(said, ETAG) is known


PARTS = {
    "bytes=0-0": (0, 1),
    "bytes=0-9": (0, 10),
    "bytes=3-": (3, 10),
    "bytes=9-9": (9, 10),
    "bytes=5-99": (5, 10),
    "bytes=-3": (7, 10),
    "bytes=-99": (0, 10),
    f"bytes=0-{'9' * 5000}": (0, 10),
    f"bytes=-{'9' * 5000}": (0, 10),
    f"bytes={'0' * 30}2-{'0' * 30}4": (2, 5),
    "Bytes= 1-2 ": (1, 3),
}
NO_WISHES = [
    None, "", "bytes", "bytes=", "bytes=-", "bytes=2-1", "bytes=a-b", "bytes=0-0,2-3", "items=0-1",
    "bytes=0-0,", "bytes=+1-2", "bytes=0--1", "bytes=1.5-2", "bytes=٣-٤", "bytes 0-1",
]  # fmt: skip


@pytest.mark.parametrize(("said", "bounds"), PARTS.items(), ids=lambda it: str(it)[:20])
def test_one_part_is_given(said: str, bounds: tuple[int, int]) -> None:
    """From the beginning, from anywhere, or so many bytes at the end; never beyond it."""
    part = wanted_part(said, None, etag=ETAG, size_bytes=10)
    assert part == Part(begin=bounds[0], end=bounds[1])
    assert part.content_range(10) == f"bytes {bounds[0]}-{bounds[1] - 1}/10"


@pytest.mark.parametrize("said", NO_WISHES)
def test_what_is_no_wish_for_one_part_brings_all(said: str | None) -> None:
    """Several parts, another unit, or anything that nobody can read."""
    assert wanted_part(said, None, etag=ETAG, size_bytes=10) is None


@pytest.mark.parametrize("said", ["bytes=10-", "bytes=10-11", "bytes=-0", f"bytes={'9' * 5000}-"])
def test_a_part_that_is_not_there_is_told_so(said: str) -> None:
    """Nothing of it lies within; of nothing at all every part is such."""
    with pytest.raises(UnsatisfiableError):
        wanted_part(said, None, etag=ETAG, size_bytes=10)
    with pytest.raises(UnsatisfiableError):
        wanted_part("bytes=0-", None, etag=ETAG, size_bytes=0)


@pytest.mark.parametrize(
    ("if_range", "given"),
    [(ETAG, True), ('W/"abc"', False), ('"x"', False), ("Sat, 01 Jan 2033 00:00:00 GMT", False)],
)
def test_a_part_of_something_else_is_no_use(if_range: str, given: bool) -> None:
    """Then all of what is there now comes; weak tags and dates do not tell bytes apart."""
    found = wanted_part("bytes=1-2", if_range, etag=ETAG, size_bytes=10)
    assert (found is not None) is given


@given(st.text(max_size=20) | st.from_regex(r"bytes=\d*-\d*", fullmatch=True), st.integers(0, 30))
def test_no_part_is_empty_or_beyond(said: str, size_bytes: int) -> None:
    """Whatever is said."""
    try:
        part = wanted_part(said, None, etag=ETAG, size_bytes=size_bytes)
    except UnsatisfiableError:
        return
    assert part is None or 0 <= part.begin < part.end <= size_bytes
