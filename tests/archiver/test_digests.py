"""Promised digests: read from each vendor's header, computed chunk by chunk, and nothing else."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.digests import Check, promised

# The check values of the CRC catalogue, and of RFC 1321's kin.
BODY = b"123456789"
CRC64 = 0x995DC9BBDF1939FA
CRC32C = 0xE3069283
OSS = str(CRC64)
MD5 = b64encode(hashlib.md5(BODY).digest()).decode()
GOOG_CRC = f"crc32c={b64encode(CRC32C.to_bytes(4)).decode()}"
GOOG_MD5 = f"md5={MD5}"

KEPT = {
    "OSS": [("x-oss-hash-crc64ecma", OSS)],
    "RFC 1864": [("Content-MD5", MD5)],
    "GCS, one header": [("x-goog-hash", f"{GOOG_CRC},{GOOG_MD5}")],
    "GCS, a space after the comma": [("x-goog-hash", f"{GOOG_CRC}, {GOOG_MD5}")],
    "GCS, two headers": [("X-Goog-Hash", GOOG_CRC), ("X-Goog-Hash", GOOG_MD5)],
    "all": [("X-OSS-Hash-CRC64ECMA", OSS), ("CONTENT-MD5", MD5), ("x-goog-hash", GOOG_CRC)],
}
UNREADABLE = {
    "no number": ("x-oss-hash-crc64ecma", "0x995DC9BBDF1939FA"),
    "a negative number": ("x-oss-hash-crc64ecma", "-1"),
    "digits of another script": ("x-oss-hash-crc64ecma", "١"),
    "65 bits": ("x-oss-hash-crc64ecma", str(1 << 64)),
    "a number without end": ("x-oss-hash-crc64ecma", "9" * 10_000),
    "nothing": ("x-oss-hash-crc64ecma", ""),
    "hexadecimal": ("Content-MD5", hashlib.md5(BODY).hexdigest()),
    "no base64": ("Content-MD5", "****"),
    "not even ASCII": ("Content-MD5", "Ω" * 24),
    "too short": ("Content-MD5", b64encode(b"x" * 15).decode()),
    "two in one": ("Content-MD5", f"{MD5}, {MD5}"),
    "an unknown algorithm": ("x-goog-hash", "crc99=AAAA"),
    "no algorithm": ("x-goog-hash", MD5),
    "commas": ("x-goog-hash", ",,=,"),
    "another header": ("ETag", MD5),
}


def broken(body: bytes, headers: list[tuple[str, str]]) -> tuple[str, ...]:
    """Which headers' promises a body does not keep."""
    check = Check(promised(headers))
    check.feed(body)
    return check.broken()


@pytest.mark.parametrize("headers", KEPT.values(), ids=KEPT)
def test_a_promise_is_kept_by_its_own_bytes_only(headers: list[tuple[str, str]]) -> None:
    """Every promise is read, kept by the body it was made for, and broken by any other."""
    names = {name.lower() for name, _ in headers}
    assert {digest.header for digest in promised(headers)} == names
    assert broken(BODY, headers) == ()
    assert set(broken(BODY[:-1], headers)) == names
    assert set(broken(b"", headers)) == names


@pytest.mark.parametrize("header", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_promises_nothing(header: tuple[str, str]) -> None:
    """A malformed header costs no picture, and hides no well-formed one beside it."""
    assert promised([header]) == ()
    assert promised([header, ("Content-MD5", MD5)]) == promised([("Content-MD5", MD5)])


def test_each_promise_is_held_to() -> None:
    """Of several only the broken one is named, even of two that contradict each other."""
    other = b64encode(bytes(16)).decode()
    assert broken(BODY, [("x-goog-hash", GOOG_CRC), ("Content-MD5", other)]) == ("content-md5",)
    assert broken(BODY, [("x-goog-hash", f"md5={other},{GOOG_MD5}")]) == ("x-goog-hash",)


def test_nothing_is_computed_that_was_not_promised() -> None:
    """A source without digests costs no processor."""
    check = Check(promised([("x-oss-hash-crc64ecma", OSS)]))
    check.feed(BODY)
    assert check.found() == {"crc64": CRC64.to_bytes(8)}
    assert Check(()).found() == {}


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_how_a_body_was_cut_never_matters(body: bytes, cuts: list[int]) -> None:
    """Digests are of the bytes, not of the chunks that they came in."""
    everything = promised(KEPT["all"])
    whole, pieces = Check(everything), Check(everything)
    whole.feed(body)
    ends = [0, *sorted(cuts), len(body)]
    for start, end in pairwise(ends):
        pieces.feed(body[start:end])
    assert pieces.found() == whole.found()


@given(st.lists(st.tuples(st.sampled_from(["Content-MD5", "x-goog-hash"]), st.text()), max_size=4))
def test_no_header_is_beyond_reading(headers: list[tuple[str, str]]) -> None:
    """Whatever a stranger writes, reading it raises nothing."""
    assert all(digest.value for digest in promised(headers))
