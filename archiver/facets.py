"""Facet tokens: a card's short values as words, indexed beside its text.

`facets : "provider_dashscope"` then is one more word to FTS5, and any mixture of words and fields
one merge inside it. A token is a field's name, "_" and the value: case-folded, with every character
but a-z and 0-9 written as its hexadecimal number between two "_". So different values never share
a token, and the token of a beginning is the beginning of the token.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache

from archiver.cards import Card
from archiver.models import GenerationState, Origin, SlotState

# In every row, for what is asked as "all but"; and in none.
EVERY_ROW = "all"
NO_ROW = "none"

# The numbers of a card that are tokens, too, and the field each is asked by.
NUMBERS: Mapping[str, str] = {
    "width": "width",
    "height": "height",
    "steps": "steps",
    "guidance_scale": "scale",
    "seed": "seed",
    "cost_micros": "cost",
}

_OTHER = re.compile("[^a-z0-9]")
_ESCAPED = re.compile("_([0-9a-f]+)_")


@lru_cache(maxsize=4096)  # most values of a card are as many others have them
def token(field: str, value: str) -> str:
    """The token of one value of a field, whatever its case and width."""
    return f"{field}_{_OTHER.sub(lambda other: f'_{ord(other[0]):x}_', folded(value))}"


def value_of(token: str) -> tuple[str, str]:
    """A token's field and folded value."""
    field, _, value = token.partition("_")
    return field, _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), value)


def number_token(column: str, number: float) -> str:
    """The token of one number in one of the columns of `NUMBERS`; 7 and 7.0 are the same."""
    exact = str(int(number)) if column != "guidance_scale" else repr(float(number) + 0.0)
    return token(NUMBERS[column], exact)


def folded(value: str) -> str:
    """One form for all that differs in case, width or surrounding space."""
    if value.isascii():
        return value.lower().strip()
    return unicodedata.normalize("NFKC", value).casefold().strip()


def tokens_of(card: Card) -> str:
    """All tokens of a card, with a space between each two."""
    texts = {
        "provider": card.provider,
        "service": card.service,
        "model": card.model,
        "version": card.version,
        "state": card.state,
        "origin": card.origin,
        "scheduler": card.scheduler,
        "job": card.generation_id,
        "track": card.track_id,
    }
    tokens = [EVERY_ROW]
    tokens += [token(field, text) for field, text in texts.items() if text]
    tokens += [token("type", name) for name in _type_names(card)]
    numbers = {column: getattr(card, column) for column in NUMBERS}
    tokens += [number_token(column, it) for column, it in numbers.items() if it is not None]
    tokens += [token("is", flag) for flag, holds in _FLAGS.items() if holds(card)]
    return " ".join(tokens)


def _type_names(card: Card) -> tuple[str, ...]:
    """A media type is found whole and by each half."""
    return (card.media_type, *card.media_type.split("/")) if card.media_type else ()


_FLAGS: Mapping[str, Callable[[Card], bool]] = {
    "portrait": lambda card: (card.height or 0) > (card.width or 0) > 0,
    "landscape": lambda card: (card.width or 0) > (card.height or 0) > 0,
    "square": lambda card: (card.width or 0) == (card.height or 0) > 0,
    "drawn": lambda card: card.drawn,
    "flagged": lambda card: card.flagged,
    "moderated": lambda card: card.moderated,
    "damaged": lambda card: card.damaged,
    "failed": lambda card: card.generation_state is GenerationState.FAILED,
    "canceled": lambda card: card.generation_state is GenerationState.CANCELED,
}


def _states(*states: SlotState) -> tuple[str, ...]:
    return tuple(token("state", state) for state in states)


# What can be asked with `is:`, and the tokens of which a row must have one.
IS: Mapping[str, tuple[str, ...]] = {
    **{flag: (token("is", flag),) for flag in _FLAGS},
    **{origin.value: (token("origin", origin),) for origin in Origin},
    **{state.value: _states(state) for state in SlotState},
    "saved": _states(SlotState.ARCHIVED, SlotState.RENDERED),
    "pending": _states(SlotState.EXPECTED, SlotState.LINKED),
    # The provider's own picture is neither here nor on its way.
    "lost": _states(SlotState.RENDERED, SlotState.HELD, SlotState.DEAD),
    "image": (token("type", "image"),),
    "video": (token("type", "video"),),
}
