"""A row's words → PostgreSQL's `tsvector`, as a literal that no parser of PostgreSQL's cuts again.

A lexeme is the letter of its column, ":" and a token. The words of a text have their positions in
it, by which phrases are found. What PostgreSQL cannot hold is left out and the row says so, in its
lexemes, too: who asks about what may be missing looks at the stored text of such rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

# Sizes, as powers of two, of the spans of archive numbers that have a lexeme each, so that the
# newest rows can be asked for by the index itself.
SPANS = (9, 12, 15, 18)

# Rows that want for positions or have their longest tokens abridged; rows that want for words.
ABRIDGED, WANTING = 1, 2

COLUMNS: Mapping[str, str] = {"prompt": "p", "neg": "n", "about": "a", "facets": "f"}

# PostgreSQL's own limits are 16,383, 255 and, for all of a row, 1 MB.
_LAST_POSITION = 16_382
_MOST_POSITIONS = 254
_MOST_BYTES = 1_000_000
# PostgreSQL could hold 2,046 bytes, and nobody's word is as long as this.
_LONGEST_TOKEN = 400
_SURELY_FITS = _LONGEST_TOKEN // 4
# FTS5 knows no more of a token than this.
_FTS5_TOKEN = 32_768


class Vector(NamedTuple):
    """The literal, how many tokens the row has in all, and what it lacks: 0 if nothing."""

    literal: str
    tokens: int
    lacks: int


def vector(number: int, *, prompt: str, neg: str, about: str, facets: str) -> Vector:
    """What finds a row of these segmented texts."""
    texts = {"prompt": prompt.split(), "neg": neg.split(), "about": about.split()}
    labels = facets.split()
    found: dict[str, list[int]] = {}
    for column, words in texts.items():
        for place, word in enumerate(words, 1):
            found.setdefault(lexeme(column, word), []).append(place)
    tokens = sum(map(len, texts.values())) + len(labels)
    plain = [*_of_row(number), *{lexeme("facets", label): None for label in labels}]
    kept: Mapping[str, Sequence[int]]
    kept, lacks = _kept(found)
    if any("#" in it for it in (*kept, *plain)):
        lacks = ABRIDGED
    # A letter has four bytes at most, and a token eight more.
    large = 12 * (len(prompt) + len(neg) + len(about) + len(facets)) > _MOST_BYTES
    if large and _bytes(kept, plain) > _MOST_BYTES:
        kept, lacks = dict.fromkeys(kept, ()), ABRIDGED
    if large and _bytes(kept, plain) > _MOST_BYTES:
        kept, plain, lacks = {}, [*_of_row(number), lexeme("facets", "all")], WANTING
    if lacks:
        plain.append(lacking(lacks))
    plain += (it for it, at in kept.items() if not at)
    placed = (f"{quoted(it)}:{','.join(map(str, at))}" for it, at in kept.items() if at)
    return Vector(" ".join([*placed, *map(quoted, plain)]), tokens, lacks)


def lexeme(column: str, token: str) -> str:
    """What stands for a token of a column; for each token another."""
    known = token if len(token) < _SURELY_FITS or fits(token) else _abridged(token)
    return f"{COLUMNS[column]}:{known}"


def fits(token: str) -> bool:
    """Whether a token is a lexeme's whole, so that its beginnings are the lexeme's."""
    return len(token) < _SURELY_FITS or len(token.encode()) <= _LONGEST_TOKEN


def lacking(what: int) -> str:
    """The lexeme of all rows that lack something."""
    return f"x:{what}"


def spans(low: int, high: int, most: int) -> list[str] | None:
    """At most so many lexemes of which every row from `low` to `high` has one; None if too few.

    Rows beyond the two have them, too.
    """
    for power in SPANS:
        first, last = low >> power, high >> power
        if last - first < most:
            return [f"b{power}:{span}" for span in range(first, last + 1)]
    return None


def span_of(number: int, width: int, most: int) -> tuple[int, int]:
    """The span that a number is in, of the narrowest of which so many cover such a width."""
    power = next((power for power in SPANS if width >> power < most - 1), SPANS[-1])
    first = number >> power << power
    return first, first + (1 << power) - 1


def quoted(it: str) -> str:
    """A lexeme as PostgreSQL reads it in `tsvector` and `tsquery`, whatever is in it."""
    if "'" in it or "\\" in it:
        it = it.replace("\\", "\\\\").replace("'", "''")
    return f"'{it}'"


def _of_row(number: int) -> Iterator[str]:
    return (f"b{power}:{number >> power}" for power in SPANS)


def _abridged(token: str) -> str:
    begins = token.encode()[:_LONGEST_TOKEN].decode(errors="ignore")
    return f"{begins}#{sha256(token.encode()[:_FTS5_TOKEN]).hexdigest()}"


def _kept(found: Mapping[str, list[int]]) -> tuple[Mapping[str, Sequence[int]], int]:
    """The positions that PostgreSQL can hold, and what the row lacks without the others."""
    kept: dict[str, list[int]] = {}
    lacks = 0
    for each, places in found.items():
        kept[each] = places
        if len(places) > _MOST_POSITIONS or places[-1] > _LAST_POSITION:
            kept[each] = [it for it in places[:_MOST_POSITIONS] if it <= _LAST_POSITION]
            lacks = ABRIDGED
    return kept, lacks


def _bytes(kept: Mapping[str, Sequence[int]], plain: Iterable[str]) -> int:
    """No less than PostgreSQL needs for them."""
    positions = sum(4 + len(it.encode()) + 2 * len(at) for it, at in kept.items())
    return positions + sum(len(it.encode()) + 4 for it in plain)
