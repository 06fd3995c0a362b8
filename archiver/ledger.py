"""Keeping a changed generation: rows, jobs, cards and words, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from archiver.cards import Card, card_of
from archiver.catalog import Tables
from archiver.catalog.texts import Words
from archiver.facets import tokens_of
from archiver.models import Generation
from archiver.notices import event_of
from archiver.planning import plan
from archiver.segment import segment
from archiver.work import WantedJob


def keep(
    tables: Tables, before: Generation | None, after: Generation, *, now: datetime
) -> Generation:
    """Saves `after`, plans the work it wants and takes back what it no longer wants.

    The planning is done even when nothing changed: a job that has just ended may have to be
    wanted again. The answer carries its key, numbers and revision.
    """
    (kept,) = keep_all(tables, [(before, after)], now=now)
    return kept


def keep_all(
    tables: Tables, changes: Sequence[tuple[Generation | None, Generation]], *, now: datetime
) -> list[Generation]:
    """Keeps every `(before, after)` as `keep` does, with fewer statements."""
    all_kept: list[Generation] = []
    wanted: list[WantedJob] = []
    for before, after in changes:
        kept = tables.generations.save(before, after)
        wants = plan(kept)
        _cancel(tables, before, wants, now)
        wanted += wants
        all_kept.append(kept)
    kept_changes = [(before, kept) for (before, _), kept in zip(changes, all_kept, strict=True)]
    _index(tables, kept_changes)
    tables.jobs.want([*wanted, *_news(tables, kept_changes, now)], now=now)
    return all_kept


def index_anew(tables: Tables, generations: Iterable[Generation]) -> None:
    """Writes the cards and the words of some generations, whatever the index holds of them."""
    _index(tables, [(None, generation) for generation in generations])


def index_entries(generation: Generation) -> tuple[list[Card], list[Words]]:
    """The cards of a generation's outputs, and the words by which each is found."""
    cards = _cards(generation)
    return cards, _words(generation, cards)


def _cancel(
    tables: Tables, before: Generation | None, wants: Sequence[WantedJob], now: datetime
) -> None:
    """Takes back the jobs that were wanted before and no longer are."""
    still = {(job.kind, job.subject) for job in wants}
    for job in plan(before) if before else ():
        if (job.kind, job.subject) not in still:
            tables.jobs.cancel(job.kind, job.subject, now=now)


def _news(
    tables: Tables, changes: Iterable[tuple[Generation | None, Generation]], now: datetime
) -> list[WantedJob]:
    """The jobs that tell of what has just come to stand otherwise, if anybody wants to know."""
    wanted = tables.notices.wanted()
    if not wanted:
        return []
    happened = []
    for before, after in changes:
        event = event_of(after)
        if event in wanted and (before is None or event_of(before) is not event):
            assert event is not None
            assert after.key is not None
            happened.append((after.key, event))
    return tables.notices.note(happened, now=now)


def _index(tables: Tables, changes: Iterable[tuple[Generation | None, Generation]]) -> None:
    """Brings what the search does not know yet into its tables."""
    cards: list[Card] = []
    words: list[Words] = []
    labels: list[tuple[int, str]] = []
    for before, after in changes:
        known = {card.number: card for card in _cards(before)} if before else {}
        shown = _cards(after)
        new = [card for card in shown if known.get(card.number) != card]
        cards += new
        reworded = before is None or _said(before) != _said(after)
        if not reworded:
            labels += [(card.number, tokens_of(card)) for card in new if card.number in known]
            shown = [card for card in new if card.number not in known]
        if shown:
            words += _words(after, shown)
    tables.cards.put(cards)
    tables.texts.put(words)
    tables.texts.label(labels)


def _cards(generation: Generation) -> list[Card]:
    return [
        card_of(generation, slot)
        for slot in generation.slots
        if slot.number is not None and not slot.role
    ]


def _words(generation: Generation, cards: Iterable[Card]) -> list[Words]:
    prompt, neg, about = map(segment, _said(generation))
    return [Words(card.number, prompt, neg, about, tokens_of(card)) for card in cards]


def _said(generation: Generation) -> tuple[str, str, str]:
    """What a generation's slots are found by: its prompt, its negative prompt, and the rest."""
    params = generation.params
    about = (
        generation.provider,
        generation.id,
        generation.service,
        params.model,
        params.version,
        generation.track_id,
        generation.first_heard_at.date().isoformat(),
    )
    return (
        params.prompt or "",
        params.negative_prompt or "",
        " ".join(word for word in about if word),
    )
