"""Finding slots by words: user's text in, archive numbers and their generations out.

This is the first, simple search: every word must occur, a run of a script without spaces is a
phrase, newest first, keyset pages. No text of the user's ever reaches FTS5 as syntax.
"""

from __future__ import annotations

from dataclasses import dataclass

from archiver.catalog import Tables
from archiver.models import Generation, Slot
from archiver.segment import query_terms


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One slot that was found, with all that is known around it."""

    number: int
    generation: Generation
    slot: Slot


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Hits, newest first; `cursor` continues below them, None at the end."""

    hits: tuple[Hit, ...]
    cursor: int | None


def search(tables: Tables, words: str, *, cursor: int | None, limit: int) -> Page:
    """One page of the slots whose prompt, id, service or date holds every word."""
    match = match_expression(words)
    if words.strip() and not match:
        return Page(hits=(), cursor=None)  # of what was typed, nothing can be searched for
    numbers = tables.texts.page(match, before=cursor, limit=limit + 1)
    hits = tuple(hit for number in numbers[:limit] if (hit := find(tables, number)) is not None)
    more = len(numbers) > limit
    return Page(hits=hits, cursor=numbers[limit - 1] if more else None)


def match_expression(words: str) -> str:
    """The FTS5 expression of user's words; empty if nothing in them can be searched for."""
    phrases = (" ".join(term) for term in query_terms(words))
    return " AND ".join(f'"{phrase}"' for phrase in phrases)


def find(tables: Tables, number: int) -> Hit | None:
    """The slot with that archive number, or None."""
    generation = tables.generations.load_slot(number)
    if generation is None:
        return None
    slot = next(slot for slot in generation.slots if slot.number == number)
    return Hit(number=number, generation=generation, slot=slot)
