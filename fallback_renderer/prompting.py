"""Emphasis in prompts, as it is written in the field: `((more))`, `(word:1.3)`, `[less]`.

A round bracket weighs 1.1, or the number before its end; a square one 1/1.1; nested brackets
multiply. A backslash before a bracket or a backslash makes it plain text. A bracket that closes
nothing is text, one that is never closed weighs to the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

# Beyond this, embeddings are noise whatever they meant.
MAX_WEIGHT = 10.0

_STEP = 1.1
# However deep the brackets, no product may come near infinity.
_FINITE = 1e12

# Possessive, so that no prompt, however long or odd, is read twice.
_TOKEN = re.compile(
    r"""\\[()\[\]\\]
      | :\s*+[+-]?(?:\d++(?:\.\d*+)?|\.\d++)\s*+\)
      | [^\\()\[\]:]++
      | .""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_SYNTAX = re.compile(r"[()\[\]\\]")
_WORD = re.compile(r"\S+")
_CLOSES = {")": "(", "]": "["}


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A stretch of the prompt that weighs the same; 1.0 is as written plainly."""

    text: str
    weight: float


def parse(prompt: str) -> tuple[Chunk, ...]:
    """The prompt's chunks in order, neighbours of different weight, within `MAX_WEIGHT`."""
    alike = groupby(_weigh(prompt), key=lambda piece: _bounded(piece[1], MAX_WEIGHT))
    return tuple(
        Chunk(text="".join(text for text, _ in pieces), weight=weight) for weight, pieces in alike
    )


def write(chunks: Iterable[Chunk]) -> str:
    """A prompt that `parse` reads as these chunks."""
    return "".join(_write_chunk(chunk) for chunk in chunks)


def plain(prompt: str) -> str:
    """The words alone, without weights, brackets and escapes."""
    return "".join(text for text, _ in _weigh(prompt))


def split_names(text: str, names: Iterable[str]) -> list[str]:
    """The text in pieces, each either one of the names, wherever it is a word, or none of them."""
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    if not longest_first:
        return [text]
    return re.split(rf"(?<!\w)({'|'.join(longest_first)})(?!\w)", text)


def is_weighted(prompt: str) -> bool:
    """Whether any of it weighs more or less than plain words."""
    return any(weight != 1.0 for _, weight in _weigh(prompt))


def is_overweight(prompt: str) -> bool:
    """Whether it asks for weights that `parse` had to bound."""
    return any(abs(weight) > MAX_WEIGHT for _, weight in _weigh(prompt))


def cut_to_words(prompt: str, most: int) -> str:
    """The prompt up to its word number `most`; words are what stands between white space."""
    ends = [match.end() for _, match in zip(range(most), _WORD.finditer(prompt), strict=False)]
    return prompt if len(ends) < most else prompt[: ends[-1]]


def count_words(prompt: str) -> int:
    """How many words `cut_to_words` sees."""
    return sum(1 for _ in _WORD.finditer(prompt))


def _weigh(prompt: str) -> Iterator[tuple[str, float]]:
    tokens = _TOKEN.findall(prompt)
    factors, closings = _groups(tokens)
    weights = [1.0]
    for place, token in enumerate(tokens):
        if place in factors:
            weights.append(_bounded(weights[-1] * factors[place], _FINITE))
        elif place in closings:
            weights.pop()
        else:
            yield (token[1:] if _is_escape(token) else token), weights[-1]


def _groups(tokens: list[str]) -> tuple[dict[int, float], set[int]]:
    """What each opening bracket weighs, by its place, and the places where one is closed."""
    factors: dict[int, float] = {}
    closings: set[int] = set()
    opened: list[int] = []
    for place, token in enumerate(tokens):
        if token in _CLOSES.values():
            opened.append(place)
            factors[place] = _STEP if token == "(" else 1 / _STEP  # noqa: S105 - a bracket
        elif opened and _CLOSES.get(token[-1]) == tokens[opened[-1]] and not _is_escape(token):
            opening = opened.pop()
            closings.add(place)
            if len(token) > 1:
                factors[opening] = _bounded(float(token[1:-1]), _FINITE)
    return factors, closings


def _write_chunk(chunk: Chunk) -> str:
    text = _SYNTAX.sub(r"\\\g<0>", chunk.text)
    # Decimal, for the syntax knows no exponents and no digit may be lost.
    return text if chunk.weight == 1.0 else f"({text}:{Decimal(repr(chunk.weight)):f})"


def _is_escape(token: str) -> bool:
    return len(token) == 2 and token[0] == "\\"


def _bounded(weight: float, most: float) -> float:
    return max(-most, min(most, weight))
