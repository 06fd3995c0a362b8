"""The fields of the query language: what each is called, what it takes, what it asks of a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from archiver.cards import MAX_NUMBER
from archiver.facets import IS, NUMBERS, folded, number_token, token
from archiver.models import Origin, SlotState
from archiver.query import values
from archiver.query.advice import QueryError, nearest, spellings
from archiver.query.dates import moments
from archiver.query.lexer import Item, Lexeme
from archiver.query.tree import (
    EVERYTHING,
    NOTHING,
    Column,
    Facet,
    Node,
    Range,
    Text,
    TextColumn,
    conjunction,
    disjunction,
)
from archiver.segment import query_terms, segment

# Where a word is looked for of which nothing else is said.
ANYWHERE: tuple[TextColumn, ...] = ("prompt", "about")

# A beginning shorter than this is a whole word: too many words begin so.
_MIN_PREFIX_LETTERS = 2

Reader: TypeAlias = "Callable[[Item, datetime], Node | None]"


class Sort(StrEnum):
    """In what order the rows come; by bytes and by cost the greatest come first."""

    NEWEST = "newest"
    OLDEST = "oldest"
    RELEVANCE = "relevance"
    BYTES = "bytes"
    COST = "cost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """What a field takes, in words and examples, and what makes a condition of one value.

    `read` answers None to what is no value; `names` are the `spellings` of all there are.
    """

    takes: str
    examples: tuple[str, ...]
    read: Reader
    names: Mapping[str, str] = field(default_factory=dict)


def condition(lexeme: Lexeme, now: datetime) -> Node:
    """What a field asks for with its values, of which any will do; EVERYTHING if it is nothing.

    Raises QueryError for what the field does not take.
    """
    nodes = [_read(lexeme.field, item, now) for item in lexeme.items]
    asked = [node for node in nodes if node != EVERYTHING]
    return disjunction(asked) if asked else EVERYTHING


def sort_order(items: Sequence[Item], now: datetime) -> Sort:
    """The order that `sort:` asks for. Raises QueryError if there is none of that name."""
    _read("sort", items[-1], now)
    return Sort(folded(items[-1].text))


def words(item: Item, columns: tuple[TextColumn, ...] = ANYWHERE) -> Node:
    """All words of an item, or all of a phrase in their order; EVERYTHING if there are none."""
    if item.quoted or item.text.isascii():  # what is no space in ASCII never becomes one
        phrase = tuple(segment(item.text).split())
        terms: tuple[tuple[str, ...], ...] = (phrase,) if phrase else ()
    else:
        terms = query_terms(item.text)
    starred = item.starred and terms and len(terms[-1][-1]) >= _MIN_PREFIX_LETTERS
    return conjunction(
        Text(columns=columns, tokens=tokens, prefix=bool(starred) and tokens is terms[-1])
        for tokens in terms
    )


def _read(name: str, item: Item, now: datetime) -> Node:
    asked = FIELDS[name]
    node = asked.read(item, now)
    if node is not None:
        return node
    word = folded(item.text)
    if asked.names and (meant := nearest(word, asked.names)):
        sentence = f"{name}: knows no such word; did you mean {name}:{meant}?"
    elif asked.names and word in IS:
        sentence = f"{name}: knows no such word; did you mean is:{word}?"
    else:
        examples = ", ".join(f"{name}:{example}" for example in asked.examples)
        sentence = f"{name}: takes {asked.takes}: {examples}. For the words, use quotes around all."
    raise QueryError(sentence, item.position)


def _typed(item: Item) -> str:
    return values.plain(item.text + "*" * item.starred)


def _text(column: TextColumn, example: str) -> Field:
    return Field(
        takes="words",
        examples=(example,),
        read=lambda item, now: words(item, (column,)),
    )


def _facet(name: str, *examples: str, also: Mapping[str, str] | None = None) -> Field:
    """A field of words that nobody can list; `also` are other words for some of them."""

    def read(item: Item, _now: datetime) -> Node:
        text = folded(item.text)
        return Facet(token=token(name, (also or {}).get(text, text)), prefix=item.starred)

    return Field(takes="a word, several with commas, or a beginning", examples=examples, read=read)


def _named(nodes: Mapping[str, Node], *examples: str) -> Field:
    """A field whose words are all known."""

    def read(item: Item, _now: datetime) -> Node | None:
        return None if item.starred else nodes.get(folded(item.text))

    return Field(
        takes=f"one of {', '.join(nodes)}", examples=examples, read=read, names=spellings(nodes)
    )


def _one_of(name: str, members: Iterable[str]) -> dict[str, Node]:
    return {str(member): Facet(token=token(name, member)) for member in members}


def _number(column: Column, read_one: values.Reader, *examples: str, note: str = "") -> Field:
    def read(item: Item, _now: datetime) -> Node | None:
        found = values.interval(_typed(item), read_one)
        return _ranged(column, found) if found else _any(column, item)

    return Field(takes=f"a number, a comparison or a range{note}", examples=examples, read=read)


def _moment(column: Column) -> Field:
    def read(item: Item, now: datetime) -> Node | None:
        found = moments(_typed(item), now)
        return _ranged(column, found) if found else _any(column, item)

    return Field(
        takes="a date in UTC, a comparison, a range or an age (min, h, d, w, mo or y)",
        examples=("2026-11", ">=2026-11-01T10:00", "2026-10..2026-11", "7d"),
        read=read,
    )


def _any(column: Column, item: Item) -> Node | None:
    """`*` alone asks for any value at all."""
    return Range(column=column) if item.starred and not item.text else None


def _ranged(column: Column, found: values.Interval) -> Node:
    """One number as its token where it has one; bounds beyond every card's numbers are none."""
    low = -math.inf if found.low is None else found.low
    high = math.inf if found.high is None else found.high
    if low == high and column in NUMBERS:
        return Facet(token=number_token(column, low))
    if low > high or low > MAX_NUMBER or high < -MAX_NUMBER:
        return NOTHING
    return Range(
        column=column,
        low=found.low if low > -MAX_NUMBER else None,
        high=found.high if high < MAX_NUMBER else None,
    )


def _size(item: Item, _now: datetime) -> Node | None:
    found = values.extent(_typed(item))
    if found is None:
        return None
    columns = zip(("width", "height"), found, strict=True)
    return conjunction(Facet(token=number_token(column, side)) for column, side in columns)


def _digest(item: Item, _now: datetime) -> Node | None:
    found = values.digests(_typed(item).removesuffix("*"))
    return Range(column="sha256", low=found[0], high=found[1]) if found else None


FIELDS: Mapping[str, Field] = {
    "prompt": _text("prompt", '"golden hour"'),
    "neg": _text("neg", "blurry"),
    "provider": _facet("provider", "dashscope"),
    "service": _facet("service", "flux-pro"),
    "model": _facet("model", "sdxl", "flux*", '"two words"'),
    "version": _facet("version", "1.5"),
    "scheduler": _facet("scheduler", "euler*"),
    "type": _facet(
        "type", "png", "video", also={"jpg": "jpeg", "image/jpg": "image/jpeg", "mov": "quicktime"}
    ),
    "job": _facet("job", "7f3a*"),
    "track": _facet("track", "order-17"),
    "state": _named(_one_of("state", SlotState), "archived"),
    "origin": _named(_one_of("origin", Origin), "fallback"),
    "is": _named(
        {word: disjunction(Facet(token=it) for it in tokens) for word, tokens in IS.items()},
        "portrait",
    ),
    "size": Field(
        takes="width x height in pixels (that of a file goes with bytes:)",
        examples=("1024x1536",),
        read=_size,
    ),
    "width": _number("width", values.whole, "1024", ">=1024", "512..1024"),
    "height": _number("height", values.whole, "1024", ">=1024", "512..1024"),
    "steps": _number("steps", values.whole, "30", ">=30", "20..30"),
    "scale": _number("guidance_scale", values.real, "7.5", "<7.5", "5..8"),
    "cost": _number("cost_micros", values.micros, "10", "<0.01", "10..20"),
    "bytes": _number("size_bytes", values.size_bytes, ">2MB", "500k..2MB"),
    "seed": _number("seed", values.whole, "42", "100..199"),
    "id": _number(
        "number", values.whole, "77", "70..80", note=" (a provider's own id goes with job:)"
    ),
    "sha256": Field(takes="4 to 64 hexadecimal digits", examples=("9f86d0",), read=_digest),
    "created": _moment("created_at"),
    "completed": _moment("completed_at"),
    "archived": _moment("archived_at"),
    "sort": _named(dict.fromkeys(Sort, EVERYTHING), "oldest"),
}
