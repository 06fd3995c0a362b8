"""What is said to a person whose query is wrong, or may not mean what they think."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from archiver.errors import HoldfastError

# No name of ours is longer, and a stranger's word may be a page long.
_MAX_LETTERS = 16


class QueryError(HoldfastError):
    """A query that cannot be carried out; the sentence says what to type instead.

    `position` is the index into the text as it was typed; the sentence repeats nothing of it.
    """

    def __init__(self, sentence: str, position: int) -> None:
        super().__init__(sentence)
        self.position = position


@dataclass(frozen=True, kw_only=True, slots=True)
class Hint:
    """A sentence on something at `position` that was understood, but perhaps not as meant."""

    position: int
    sentence: str


def spellings(names: Iterable[str]) -> dict[str, str]:
    """Every name by itself and by what is left of it without one of its letters."""
    found: dict[str, str] = {}
    for name in names:
        for variant in _variants(name):
            found.setdefault(variant, name)
    return found


def nearest(word: str, names: Mapping[str, str]) -> str | None:
    """The name among `spellings` that `word` is but one slip of the finger from, or None."""
    if len(word) > _MAX_LETTERS:
        return None
    return next((names[variant] for variant in _variants(word) if variant in names), None)


def _variants(word: str) -> Iterator[str]:
    yield word
    for at in range(len(word)):
        yield word[:at] + word[at + 1 :]
