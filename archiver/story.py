"""The whole story of what was found, as plain values: for `show`, `search` and the API alike."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from archiver import manifest
from archiver.catalog import Tables
from archiver.catalog.jobs import JobRow
from archiver.catalog.renders import RENDERER
from archiver.models import Generation, Slot, SlotState
from archiver.moments import to_text
from archiver.search import Hit
from archiver.work import JobKind, JobState

# A renderer that works, or looks for work, says so far more often.
RENDERER_PATIENCE = timedelta(seconds=120)


def generation_story(tables: Tables, generation: Generation, *, now: datetime) -> dict[str, Any]:
    """Everything known about a generation: its manifest, its jobs, and whom it was heard from."""
    assert generation.key is not None
    story = manifest.describe(generation)
    for described, slot in zip(story["slots"], generation.slots, strict=True):
        described["jobs"] = _slot_jobs(tables, slot)
        described["drawing"] = _drawing(tables, slot, now)
    own = (tables.jobs.of(kind, generation.key) for kind in (JobKind.POLL, JobKind.SEAL))
    story["sealed_revision"] = generation.sealed_revision
    story["jobs"] = [_job(job) for job in own if job is not None]
    story["deliveries"] = [
        {
            "inbox": told.ref.inbox,
            "position": told.ref.position,
            "heard": told.heard.value,
            "state": told.state,
            "received_at": to_text(told.received_at),
        }
        for told in tables.deliveries.of(generation.key)
    ]
    return story


def fixity_story(tables: Tables, slot: Slot) -> list[dict[str, Any]]:
    """What the last audit found of those assets that one has looked at."""
    checked = tables.fixity.of([asset.sha256 for asset in slot.assets])
    return [
        {
            "origin": asset.origin.value,
            "outcome": found.outcome.value,
            "how": found.how,
            "reason": found.reason,
            "checked_at": to_text(found.checked_at),
            "mended_at": to_text(found.mended_at),
        }
        for asset in slot.assets
        if (found := checked.get(asset.sha256)) is not None
    ]


def hit_summary(hit: Hit) -> dict[str, Any]:
    """One search hit in a line: enough to recognise it and to ask for more."""
    card = hit.card
    return {
        "number": card.number,
        "provider": card.provider,
        "id": card.generation_id,
        "slot": card.slot_index,
        "state": card.state.value,
        "reason": card.reason,
        "prompt": hit.prompt,
        "service": card.service,
        "model": card.model,
        "seed": card.seed,
        "steps": card.steps,
        "guidance_scale": card.guidance_scale,
        "heard_at": to_text(card.first_heard_at),
        "archived_at": to_text(card.archived_at),
        "origin": card.origin.value if card.origin else None,
        "sha256": card.sha256.hex() if card.sha256 else None,
        "media_type": card.media_type,
        "size_bytes": card.size_bytes,
        "width": card.width,
        "height": card.height,
        "flagged": card.flagged,
    }


def _drawing(tables: Tables, slot: Slot, now: datetime) -> str | None:
    """How far a renderer is with a slot that has no picture yet; None while there is none."""
    assert slot.number is not None
    job = tables.jobs.of(JobKind.RENDER, slot.number)
    if job is None or slot.state is not SlotState.HELD:
        return None
    if job.state is JobState.RUNNING:
        return "being drawn"
    waits = job.state in (JobState.AVAILABLE, JobState.SCHEDULED)
    seen_at = tables.deliveries.last_beat_at(RENDERER)
    seen_lately = seen_at is not None and now - seen_at < RENDERER_PATIENCE
    return "waiting to be drawn" if waits and seen_lately else None


def _slot_jobs(tables: Tables, slot: Slot) -> list[dict[str, Any]]:
    assert slot.number is not None
    kinds = (JobKind.FETCH, JobKind.RENDER, JobKind.DERIVE)
    jobs = (tables.jobs.of(kind, slot.number) for kind in kinds)
    return [_job(job) for job in jobs if job is not None and not _goes_without_saying(job)]


def _goes_without_saying(job: JobRow) -> bool:
    """A preview that is there tells so itself."""
    return job.kind is JobKind.DERIVE and job.state is JobState.COMPLETED


def _job(job: JobRow) -> dict[str, Any]:
    return {
        "kind": job.kind.value,
        "state": job.state.value,
        "reason": job.reason,
        "attempts": job.attempts,
        "next_try_at": to_text(job.run_at),
        "deadline_at": to_text(job.deadline_at),
    }
