"""A person's text → what it asks for.

A pasted prompt is a query, too: brackets that do not pair, colons, weights and dashes in it are no
errors. Only a field that is given what it does not take is one, and a text beyond all measure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from archiver.query.advice import Hint, QueryError, nearest, spellings
from archiver.query.fields import FIELDS, Sort, condition, sort_order, words
from archiver.query.lexer import Item, Lexeme, Lexer
from archiver.query.tree import (
    EVERYTHING,
    NOTHING,
    Node,
    conjunction,
    disjunction,
    negation,
    weight,
)

# FTS5 gives up where brackets are nested 16 deep.
MAX_DEPTH = 12
# As many as the longest prompts have, and FTS5 still answers at once.
MAX_WORDS = 1000
_MAX_HINTS = 5

_LEXER = Lexer(FIELDS)

# What others call our fields, and longer names that a slip of the finger may make a word of.
_OTHER_NAMES = {
    "status": "state", "negative": "neg", "sampler": "scheduler", "mime": "type", "cfg": "scale",
    "guidance": "scale", "number": "id", "hash": "sha256", "date": "created",
    **spellings(name for name in FIELDS if len(name) > 4),
}  # fmt: skip
_LIKE_A_FIELD = re.compile(r"(\w+)([:=<>])")


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What is asked for, in what order, and what of the text may not mean what it seems to."""

    tree: Node = EVERYTHING
    sort: Sort = Sort.NEWEST
    hints: tuple[Hint, ...] = ()


def parse(text: str, *, now: datetime) -> Query:
    """Reads a text of any characters and length; an empty one asks for everything.

    Raises QueryError, and nothing else.
    """
    parser = _Parser(text, now)
    asked = parser.alternatives()
    if asked is None and parser.unasked is not None:
        parser.hint(
            parser.unasked, "nothing in this can be searched for: no letter, digit or emoji."
        )
        asked = NOTHING
    return Query(tree=asked or EVERYTHING, sort=parser.sort, hints=tuple(parser.hints))


class _Parser:
    """Goes through the lexemes once; what contributes nothing is None."""

    def __init__(self, text: str, now: datetime) -> None:
        self.sort = Sort.NEWEST
        self.hints: list[Hint] = []
        self.unasked: int | None = None  # where a word stands that has nothing to search for
        self._now = now
        self._weight = 0
        self._lexemes = _LEXER.lexemes(text)
        self._next = next(self._lexemes, None)

    def alternatives(self, depth: int = 0) -> Node | None:
        """What stands between two brackets, or in the whole text: parts with OR between them."""
        branches = [self._all(depth)]
        while self._next is not None and self._next.kind == "or":
            self._advance()
            branches.append(self._all(depth))
        asked = [branch for branch in branches if branch is not None]
        return disjunction(asked) if asked else None

    def hint(self, position: int, sentence: str) -> None:
        """Keeps a hint, of the first few."""
        if len(self.hints) < _MAX_HINTS:
            self.hints.append(Hint(position=position, sentence=sentence))

    def _all(self, depth: int) -> Node | None:
        parts = []
        while self._next is not None and self._next.kind != "or":
            if self._next.kind == "close":
                if depth:
                    break
                self.hint(self._next.position, "this ) closes nothing and is left out.")
                self._advance()
            else:
                parts.append(self._operand(self._advance(), depth))
        asked = [part for part in parts if part is not None]
        return conjunction(asked) if asked else None

    def _advance(self) -> Lexeme:
        lexeme, self._next = self._next, next(self._lexemes, None)
        assert lexeme is not None
        return lexeme

    def _operand(self, lexeme: Lexeme, depth: int) -> Node | None:
        if lexeme.kind == "not":
            if self._next is None or self._next.kind in ("or", "close"):
                return None
            denied = self._operand(self._advance(), depth)
            return negation(denied) if denied is not None else None
        if lexeme.kind == "open":
            return self._bracketed(lexeme, depth + 1)
        asked = self._field(lexeme) if lexeme.kind == "field" else self._words(lexeme)
        if asked is None:
            return None
        if asked == EVERYTHING:
            self.unasked = lexeme.position
            return None
        self._weight += weight(asked)
        if self._weight > MAX_WORDS:
            sentence = f"at most {MAX_WORDS} words are searched for at once; leave some out."
            raise QueryError(sentence, lexeme.position)
        return asked

    def _bracketed(self, opening: Lexeme, depth: int) -> Node | None:
        if depth > MAX_DEPTH:
            raise QueryError(
                f"brackets go at most {MAX_DEPTH} deep; leave out those that only stress a word.",
                opening.position,
            )
        asked = self.alternatives(depth)
        if self._next is None:
            self.hint(opening.position, "this ( is never closed, and so reaches to the end.")
        else:
            self._advance()
        return asked

    def _field(self, lexeme: Lexeme) -> Node | None:
        if not lexeme.items:
            return self._words(lexeme._replace(items=(Item(lexeme.position, lexeme.field + ":"),)))
        if lexeme.field == "sort":
            self.sort = sort_order(lexeme.items, self._now)
            return None
        return condition(lexeme, self._now)

    def _words(self, lexeme: Lexeme) -> Node | None:
        if not lexeme.items:
            return None
        (item,) = lexeme.items
        if not item.quoted:
            self._advise(item)
        return words(item)

    def _advise(self, word: Item) -> None:
        """Says so where a word looks as if it were meant as something else."""
        if word.text == "NOT":
            sentence = "NOT is a word like any other; what to leave out has a - before it."
            self.hint(word.position, sentence)
        if word.starred and len(word.text) == 1 and word.text.isascii():
            sentence = "a beginning has two letters at least, so this is a word of one letter."
            self.hint(word.position, sentence)
        like_a_field = _LIKE_A_FIELD.match(word.text)
        if like_a_field is None:
            return
        name = like_a_field[1].lower()
        if name in FIELDS:
            written = f"{name}:{FIELDS[name].examples[0]}"
            self.hint(word.position, f"{name} is searched for as a word; the field is {written}.")
        elif like_a_field[2] == ":" and (meant := nearest(name, _OTHER_NAMES)):
            self.hint(
                word.position, f"no field is called so, so it is a word; did you mean {meant}:?"
            )
