"""Keeping a changed generation: rows, planned jobs and search words in the caller's transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from archiver.catalog import Tables
from archiver.lifecycle import plan
from archiver.models import Generation
from archiver.segment import segment


def keep(
    tables: Tables, before: Generation | None, after: Generation, *, now: datetime
) -> Generation:
    """Saves `after`, plans the work it wants and takes back what it no longer wants.

    The planning is done even when nothing changed: a job that has just ended may have to be
    wanted again. The answer carries its key, numbers and revision.
    """
    kept = after
    if after != before:
        kept = tables.generations.save(before, replace(after, revision=after.revision + 1))
        _index(tables, before, kept)
    wanted = plan(kept)
    tables.jobs.want(wanted, now=now)
    still = {(job.kind, job.subject) for job in wanted}
    for job in plan(before) if before else ():
        if (job.kind, job.subject) not in still:
            tables.jobs.cancel(job.kind, job.subject, now=now)
    return kept


def _index(tables: Tables, before: Generation | None, after: Generation) -> None:
    """Gives the search a generation's words, unless it has these already."""
    said = _said(after)
    if before is not None and said == _said(before) and len(before.slots) == len(after.slots):
        return
    prompt, neg, about = map(segment, said)
    for slot in after.slots:
        assert slot.number is not None
        tables.texts.put(slot.number, prompt=prompt, neg=neg, about=about)


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
