"""A query as it was typed, with one condition more or less, or in another order.

The rest stays as the person typed it, so it is the text that is changed; whether that came out as
it was meant is seen by reading it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from archiver.facets import folded, token
from archiver.query import QueryError, Sort, parse
from archiver.query.fields import FIELDS
from archiver.query.lexer import Lexeme, Lexer
from archiver.query.tree import Facet, Node, conjunction

_LEXER = Lexer(FIELDS)

# What needs no quotes.
_PLAIN = re.compile(r"[\w./+-]+")

# Stands for any condition, to try out where in a text one may stand.
_PROBE = "provider:probe"


class _Piece(NamedTuple):
    """A lexeme of a text, where it ends and how deep in brackets it stands.

    A bracket that closes none is deeper than nothing, by -1.
    """

    lexeme: Lexeme
    begin: int
    end: int
    depth: int
    denied: bool


def condition(field: str, value: str, *, now: datetime) -> str | None:
    """What has to be typed for a value of a field; None if the language has no way to say it."""
    if _PLAIN.fullmatch(value):
        return f"{field}:{value}"
    typed = f'{field}:"{value}"'
    # A value may hold quotes itself.
    return typed if _tree(typed, now) == Facet(token=token(field, value)) else None


class Refining:
    """A query's text, whatever it is, ready to be changed."""

    def __init__(self, text: str, *, now: datetime) -> None:
        self._text = text.strip()
        self._now = now
        self._pieces = tuple(_pieces(self._text))
        self._frame = self._find_frame()

    def with_condition(self, typed: str) -> str:
        """The text that asks for all that it did, and for this besides."""
        before, after = self._frame
        return f"{before}{typed}{after}" if self._text else typed

    def without_condition(self, field: str, value: str) -> str | None:
        """The text without this condition; None unless it stands there by itself, and all else
        beside it."""
        if any(piece.lexeme.kind == "or" and not piece.depth for piece in self._pieces):
            return None
        found = [piece for piece in self._pieces if _is(piece, field, value)]
        return _cut(self._text, found) if found else None

    def sorted_by(self, sort: Sort) -> str:
        """The text that asks for the same in this order."""
        orders = [piece for piece in self._pieces if piece.lexeme.field == "sort"]
        plain = _cut(self._text, orders)
        if sort is Sort.NEWEST or not plain:
            return plain if sort is Sort.NEWEST else f"sort:{sort}"
        behind = f"{plain} sort:{sort}"
        try:
            is_read = parse(behind, now=self._now).sort is sort
        except QueryError:
            is_read = True  # it is wrong anyhow, and stays so
        return behind if is_read else f"sort:{sort} {plain}"

    def _find_frame(self) -> tuple[str, str]:
        """What stands before and behind a new condition: mostly, the text and nothing.

        An OR would take it for one of its own, and an open quote for a word.
        """
        asked, more = _tree(self._text, self._now), _tree(_PROBE, self._now)
        assert more is not None
        if asked is None or _tree(f"{self._text} {_PROBE}", self._now) == conjunction(
            [asked, more]
        ):
            return f"{self._text} ", ""
        strays = [piece for piece in self._pieces if piece.depth < 0]
        return "", f" ({_cut(self._text, strays)})"


def _tree(text: str, now: datetime) -> Node | None:
    try:
        return parse(text, now=now).tree
    except QueryError:
        return None


def _is(piece: _Piece, field: str, value: str) -> bool:
    """Whether a piece asks for this value alone, and nothing around it says otherwise."""
    lexeme = piece.lexeme
    if lexeme.field != field or piece.depth or piece.denied or len(lexeme.items) != 1:
        return False
    (item,) = lexeme.items
    return not item.starred and folded(item.text) == folded(value)


def _cut(text: str, pieces: list[_Piece]) -> str:
    for piece in reversed(pieces):
        text = f"{text[: piece.begin].rstrip()} {text[piece.end :]}"
    return text.strip()


def _pieces(text: str) -> Iterator[_Piece]:
    """Each piece reaches to the next; a `-` belongs to what it denies."""
    lexemes = [*_LEXER.lexemes(text)]
    ends = [*(lexeme.position for lexeme in lexemes[1:]), len(text)]
    depth, denial = 0, None
    for lexeme, end in zip(lexemes, ends, strict=False):
        if lexeme.kind == "not":
            denial = denial if denial is not None else lexeme.position
            continue
        depth -= lexeme.kind == "close"
        begin = lexeme.position if denial is None else denial
        yield _Piece(lexeme, begin, end, depth, denial is not None)
        depth = max(depth, 0) + (lexeme.kind == "open")
        denial = None
