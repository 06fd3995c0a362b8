"""How well rows match, by the very formula of FTS5's `bm25`, for a driver that has none of its own.

The more often a phrase stands in a row, the rarer it is in all others and the fewer words the row
has, the better. A phrase counts where the part of the tree that it stands in matches; what is
denied and the facet tokens count for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import log
from typing import NamedTuple

from archiver.query.tree import And, Facet, Node, Not, Or, Text

WEIGHTS: Mapping[str, float] = {"prompt": 1.0, "neg": 0.2, "about": 0.5}

# As in FTS5's source.
_K1, _B = 1.2, 0.75
_LEAST_RARITY = 1e-6


class Read(NamedTuple):
    """A row's segmented texts by column, and how many tokens all of them have."""

    number: int
    texts: Mapping[str, str]
    tokens: int


def phrases(node: Node) -> list[Text]:
    """Whatever counts, as often and in the order as it stands in the tree."""
    match node:
        case Text():
            return [node]
        case And() | Or():
            return [phrase for part in node.parts for phrase in phrases(part)]
    return []


def read_columns(node: Node) -> set[str]:
    """Of which columns `ranked` has to know the text."""
    match node:
        case Text():
            return set(node.columns)
        case Facet():
            return {"facets"}
        case And() | Or():
            return {column for part in node.parts for column in read_columns(part)}
        case Not():
            return read_columns(node.part)
    return set()


def rarity(rows: float, rows_with: float) -> float:
    """What a phrase weighs that so many of all rows have."""
    found = log((rows - rows_with + 0.5) / (rows_with + 0.5)) if rows > rows_with else 0.0
    return found if found > 0 else _LEAST_RARITY


def ranked(
    node: Node, rows: Sequence[Read], rarities: Sequence[float], mean_tokens: float
) -> list[int]:
    """The rows' numbers, the best first and of equal ones the newest.

    `rarities` are those of `phrases`; `mean_tokens` is how many a row of the archive has.
    """
    scored = []
    for row in rows:
        frequencies = _frequencies(node, row.texts) or ()
        length = _K1 * (1 - _B + _B * row.tokens / mean_tokens)
        score = 0.0
        for weight, often in zip(rarities, frequencies, strict=False):
            score += weight * ((often * (_K1 + 1.0)) / (often + length))
        scored.append((-score, -row.number))
    return [-number for _, number in sorted(scored)]


def _frequencies(node: Node, texts: Mapping[str, str]) -> list[float] | None:
    """How often each of the `phrases` stands in a row, by weight; None if it does not match."""
    match node:
        case Text():
            often = _often(node, texts)
            return [often] if often else None
        case Facet():
            return [] if spaced(node.token, node.prefix) in f" {texts['facets']} " else None
        case Not():
            return [] if _frequencies(node.part, texts) is None else None
        case And():
            found = [_frequencies(part, texts) for part in node.parts]
            return None if None in found else [each for some in found for each in some or ()]
        case Or():
            found = [_frequencies(part, texts) for part in node.parts]
            if all(some is None for some in found):
                return None
            none = ([0.0] * len(phrases(part)) for part in node.parts)
            return [
                each
                for some, zeros in zip(found, none, strict=True)
                for each in (zeros if some is None else some)
            ]
    raise TypeError("the full-text index knows no ranges")


def _often(node: Text, texts: Mapping[str, str]) -> float:
    said = " ".join(node.tokens)
    often = 0.0
    for column in node.columns:
        text = texts[column]
        if said in text:
            for _ in range(_count(node, text)):  # not times: the sum is to be FTS5's to the bit
                often += WEIGHTS[column]
    return often


def _count(node: Text, text: str) -> int:
    """How often the phrase stands there; one may begin within another."""
    if len(node.tokens) == 1 and not node.prefix:
        return text.split().count(node.tokens[0])
    return len(_places(spaced(" ".join(node.tokens), node.prefix)).findall(f" {text} "))


@lru_cache(maxsize=64)
def _places(said: str) -> re.Pattern[str]:
    return re.compile(f"(?={re.escape(said)})")


def spaced(said: str, prefix: bool) -> str:
    """A phrase as it stands in a text that has a space before and behind."""
    return f" {said}" if prefix else f" {said} "
