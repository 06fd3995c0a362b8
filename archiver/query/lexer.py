"""A query's text, cut into brackets, operators, fields, phrases and words.

Every text can be cut: what means nothing separates, or is part of a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

# One character for each, so that positions stay what they are: full width, and what keyboards and
# word processors make of quotes and hyphens.
_PLAIN: dict[int, int | str] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys(map(ord, "“”„‟〝〞〟«»「」『』"), '"'),
    **dict.fromkeys(map(ord, "−–‐‑﹣"), "-"),
    **dict.fromkeys(map(ord, "、。､｡"), ","),
}

_LEXEME = r"""
    (?P<gap>[\s,;]++)
    |(?P<open>\()
    |(?P<close>\))
    |(?P<or>\|+|OR(?![^\s()|]))
    |(?P<and>AND(?![^\s()|]))
    |(?P<not>(?<![^\s(|,;])-(?=[^\s\-)|,;]))
    |(?=\w+:)(?P<field>(?ai:FIELDS)):(?P<items>(?:"[^"]*+"?|[^\s()|"])++)
    |"(?P<phrase>[^"]*+)"?(?P<star>\*?)
    |(?P<word>[^\s()|,;]++)
"""

_ITEM = re.compile(r'"(?P<quoted>[^"]*+)"?(?P<star>\*?)|(?P<bare>[^,"]++)')


class Item(NamedTuple):
    """A phrase in quotes, a word, or one of the values of a field, as it was typed.

    `starred`: with a * behind it, which is not part of the text.
    """

    position: int
    text: str
    starred: bool = False
    quoted: bool = False


class Lexeme(NamedTuple):
    """A piece of the query: a `field` with its values, a `word` or `phrase` that is one item."""

    kind: str
    position: int
    items: tuple[Item, ...] = ()
    field: str = ""


class Lexer:
    """Cuts texts in which the names of `fields`, before a colon and a value, are fields."""

    def __init__(self, fields: Iterable[str]) -> None:
        pattern = _LEXEME.replace("FIELDS", "|".join(fields))
        self._pieces = re.compile(pattern, re.VERBOSE).finditer

    def lexemes(self, text: str) -> Iterator[Lexeme]:
        """The pieces of a text in order, less what only separates.

        Their kinds are open, close, or, not, field, phrase and word.
        """
        plain = text if text.isascii() else text.translate(_PLAIN)
        for piece in self._pieces(plain):
            kind = piece.lastgroup
            if kind == "word":
                yield Lexeme("word", piece.start(), (_word(text, *piece.span()),))
            elif kind == "star":
                yield Lexeme("phrase", piece.start(), tuple(_items(text, plain, *piece.span())))
            elif kind == "items":
                items = tuple(_items(text, plain, *piece.span("items")))
                yield Lexeme("field", piece.start(), items, piece["field"].lower())
            elif kind not in ("gap", "and"):  # two words are an AND already
                yield Lexeme(str(kind), piece.start())


def _items(text: str, plain: str, start: int, end: int) -> Iterator[Item]:
    """The values that commas separate in a stretch of the text; empty ones are none."""
    for found in _ITEM.finditer(plain, start, end):
        if found["bare"] is not None:
            yield _word(text, *found.span())
        elif found["quoted"].strip():
            begin, stop = found.span("quoted")
            yield Item(begin, text[begin:stop], bool(found["star"]), quoted=True)


def _word(text: str, start: int, end: int) -> Item:
    word = text[start:end]
    bare = word.rstrip("*＊")
    return Item(start, bare, starred=bare != word)
