"""What a client has already, or wants only a part of (RFC 9110 §13 and §14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

# An entity tag is anything between two quotes, commas too.
_ETAGS = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\U0010ffff]*")')
_RANGE = re.compile(r"bytes=[ \t]*(?:(\d+)-(\d*)|-(\d+))[ \t]*", re.ASCII | re.IGNORECASE)
# Of more digits no file has as many bytes, and Python reads no number of thousands of them.
_MOST_DIGITS = 18


class UnsatisfiableError(Exception):
    """A range that has no byte in common with what there is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The bytes from `begin` up to but without `end`; at least one."""

    begin: int
    end: int

    def content_range(self, size_bytes: int) -> str:
        """The value of `Content-Range` of a whole of that size."""
        return f"bytes {self.begin}-{self.end - 1}/{size_bytes}"


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether a client that says this has what the strong `etag` stands for."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in _ETAGS.findall(if_none_match)


def wanted_part(
    range_header: str | None, if_range: str | None, *, etag: str, size_bytes: int
) -> Part | None:
    """The one part that is asked for; None: the whole, also where several parts are.

    Raises UnsatisfiableError. What cannot be understood is no wish for a part, and neither is one
    for a part of something else than the strong `etag` stands for.
    """
    asked = _RANGE.fullmatch(range_header) if range_header is not None else None
    if asked is None or if_range not in (None, etag):
        return None
    first, last, suffix = map(_number, asked.groups())
    if first is None:
        assert suffix is not None
        begin, end = size_bytes - min(suffix, size_bytes), size_bytes
    elif last is not None and last < first:
        return None
    else:
        begin, end = first, size_bytes if last is None else min(last + 1, size_bytes)
    if begin >= size_bytes:
        raise UnsatisfiableError
    return Part(begin=begin, end=end)


def _number(digits: str | None) -> int | None:
    """Digits as a number, cut where it is beyond all sizes anyway."""
    return int(digits.lstrip("0")[:_MOST_DIGITS] or 0) if digits else None
