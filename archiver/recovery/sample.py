"""A random sample of objects, the same one whenever it is drawn again with the same seed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b
from heapq import nsmallest

_SAMPLE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(%?)", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """How much of everything: a part of it, or a number of objects."""

    text: str
    part: Fraction | None
    number: int

    def count(self, total: int) -> int:
        """How many of so many, at least one if there is any."""
        wanted = self.number if self.part is None else -(-total * self.part // 1)
        return min(total, int(wanted))


def sample_of(text: str) -> Sample:
    """`1%`, `0.5%` or `200`, understood; raises ValueError for anything else, and for nothing."""
    found = _SAMPLE.fullmatch(text.strip())
    amount = Fraction(found[1]) if found else Fraction(0)
    in_percent = bool(found and found[2])
    if amount == 0 or (amount > 100 if in_percent else amount.denominator != 1):
        raise ValueError(f"{text!r} is no sample such as 1% or 200")
    if in_percent:
        return Sample(text=text.strip(), part=amount / 100, number=0)
    return Sample(text=text.strip(), part=None, number=int(amount))


def chosen(digests: Iterable[bytes], count: int, seed: bytes) -> list[bytes]:
    """So many of the digests, ascending; which ones, only `seed` (up to 64 bytes) tells.

    Not a range of them: damage may lie in one folder, or on one shelf of a server, whose keys
    begin alike.
    """
    return sorted(nsmallest(count, digests, key=lambda it: blake2b(it, key=seed).digest()))
