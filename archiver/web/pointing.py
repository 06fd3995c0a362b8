"""A place in what somebody typed, with as much around it as is read at a glance."""

from __future__ import annotations

from dataclasses import dataclass

_AROUND = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Pointed:
    """A sentence on the character `at`, which is empty where the text has ended.

    `position` counts as browsers do, in units of UTF-16.
    """

    sentence: str
    before: str
    at: str
    behind: str
    position: int


def pointed(text: str, position: int, sentence: str) -> Pointed:
    """What is said of the character at that index of the text."""
    begin, end = max(0, position - _AROUND), position + 1 + _AROUND
    return Pointed(
        sentence=sentence,
        before=("…" if begin else "") + text[begin:position],
        at=text[position : position + 1],
        behind=text[position + 1 : end] + ("…" if end < len(text) else ""),
        position=len(text[:position].encode("utf-16-le", "surrogatepass")) // 2,
    )
