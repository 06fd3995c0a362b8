"""Numbers, sizes and digests as people write them, and the intervals they stand for."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple


def plain(text: str) -> str:
    """A value without what keyboards make of it: full width, odd minus signs, outer space."""
    return unicodedata.normalize("NFKC", text).replace("\N{MINUS SIGN}", "-").strip()


Number = int | float


class Interval(NamedTuple):
    """All from `low` to `high`, both included; None is no bound, and `low` > `high` is nothing."""

    low: Number | None
    high: Number | None


# One number, or a date: a day, a month or a year is from its first moment to its last. A number
# that is not whole, where only whole ones are, is from the next one up to the next one down.
Span = tuple[Number, Number]
Reader = Callable[[str], Span | None]

_COMPARED = re.compile(r"(>=|<=|≥|≤|>|<|=|)(.*)", re.DOTALL)
_UP_TO = re.compile(r"\.{2,3}")
# A digit comes first: whoever writes 0...5 may not mean a half.
_NUMBER = re.compile(r"([+-]?\d{1,30}(?:\.\d{1,30})?)([a-z]{0,3})", re.IGNORECASE)
_SIZE = re.compile(r"(\d{1,9})[x×*](\d{1,9})", re.IGNORECASE)
_DIGEST = re.compile("[0-9a-f]{4,64}", re.IGNORECASE)

_THOUSANDS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_BYTES = {unit + byte: factor for unit, factor in _THOUSANDS.items() for byte in ("", "b")} | {
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}
_MICROS = {unit: factor * 1_000_000 for unit, factor in _THOUSANDS.items()}

_COMPARISONS: dict[str, Callable[[Number, Number], Interval]] = {
    ">": lambda low, high: Interval(_next(high, math.inf), None),
    ">=": lambda low, high: Interval(low, None),
    "≥": lambda low, high: Interval(low, None),
    "<": lambda low, high: Interval(None, _next(low, -math.inf)),
    "<=": lambda low, high: Interval(None, high),
    "≤": lambda low, high: Interval(None, high),
    "=": lambda low, high: Interval(low, high),
}


def interval(text: str, read: Reader) -> Interval | None:
    """What `30`, `>30`, `<=30`, `20..30`, `20..` or `..30` stands for; None if it is none of them.

    A range reaches from the lower end to the higher one, whichever is written first.
    """
    sign, rest = _COMPARED.fullmatch(text).groups()  # type: ignore[union-attr]  # always matches
    if sign:
        span = read(rest.strip())
        return _COMPARISONS[sign](*span) if span else None
    ends = [end.strip() for end in _UP_TO.split(text, maxsplit=1)]
    spans = [span for end in ends if end and (span := read(end))]
    if not spans or len(spans) < sum(map(bool, ends)):
        return None
    return Interval(
        min(low for low, _ in spans) if ends[0] else None,
        max(high for _, high in spans) if ends[-1] else None,
    )


def whole(text: str) -> Span | None:
    """A whole number; `4k` is 4,000."""
    return _whole(text, _THOUSANDS)


def size_bytes(text: str) -> Span | None:
    """Bytes; `2MB` is 2,000,000 and `2MiB` 2,097,152."""
    return _whole(text, _BYTES)


def micros(text: str) -> Span | None:
    """A price in millionths."""
    return _whole(text, _MICROS)


def real(text: str) -> Span | None:
    """Any number."""
    exact = _exact(text, {"": 1})
    return (float(exact), float(exact)) if exact is not None else None


def extent(text: str) -> tuple[int, int] | None:
    """Width and height of `1024x1536`."""
    found = _SIZE.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else None


def digests(text: str) -> tuple[bytes, bytes] | None:
    """The first and the last SHA-256 that begins with these 4 to 64 hexadecimal digits."""
    if not _DIGEST.fullmatch(text):
        return None
    return bytes.fromhex(text.ljust(64, "0")), bytes.fromhex(text.ljust(64, "f"))


def _whole(text: str, units: dict[str, int]) -> Span | None:
    exact = _exact(text, units)
    return (math.ceil(exact), math.floor(exact)) if exact is not None else None


def _exact(text: str, units: dict[str, int]) -> Fraction | None:
    found = _NUMBER.fullmatch(text)
    factor = units.get(found[2].lower()) if found else None
    return Fraction(found[1]) * factor if found and factor else None


def _next(number: Number, towards: float) -> Number:
    """The nearest number beyond; of whole numbers the next whole one."""
    if isinstance(number, float):
        return math.nextafter(number, towards)
    return number + (1 if towards > 0 else -1)
