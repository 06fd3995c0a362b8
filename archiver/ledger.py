"""Keeping a changed generation: rows, planned jobs and search words in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from archiver.catalog import Tables
from archiver.catalog.texts import Words
from archiver.models import Generation
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
    tables: Tables, changes: Iterable[tuple[Generation | None, Generation]], *, now: datetime
) -> list[Generation]:
    """Keeps every `(before, after)` as `keep` does, with fewer statements."""
    all_kept: list[Generation] = []
    words: list[Words] = []
    wanted: list[WantedJob] = []
    for before, after in changes:
        kept = tables.generations.save(before, after)
        words += _new_words(before, kept)
        wants = plan(kept)
        _cancel(tables, before, wants, now)
        wanted += wants
        all_kept.append(kept)
    tables.texts.put(words)
    tables.jobs.want(wanted, now=now)
    return all_kept


def _cancel(
    tables: Tables, before: Generation | None, wants: Sequence[WantedJob], now: datetime
) -> None:
    """Takes back the jobs that were wanted before and no longer are."""
    still = {(job.kind, job.subject) for job in wants}
    for job in plan(before) if before else ():
        if (job.kind, job.subject) not in still:
            tables.jobs.cancel(job.kind, job.subject, now=now)


def _new_words(before: Generation | None, after: Generation) -> list[Words]:
    """What the search does not yet know of a generation's slots."""
    said = _said(after)
    if before is not None and said == _said(before) and len(before.slots) == len(after.slots):
        return []
    prompt, neg, about = map(segment, said)
    return [
        Words(number=slot.number, prompt=prompt, neg=neg, about=about)
        for slot in after.slots
        if slot.number is not None and not slot.role
    ]


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
