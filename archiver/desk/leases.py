"""What a desk does in the catalog; each function is the whole of one transaction.

Whatever it does, the plan of the generation as it stands then is asked first, so that nothing is
drawn or taken in that has become forbidden or needless since.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from archiver.catalog import Tables
from archiver.catalog.renders import RENDERER
from archiver.desk import Commission, Verdict
from archiver.errors import LeaseLostError, NotOfferedError
from archiver.leaps import is_time_steady
from archiver.ledger import keep
from archiver.lifecycle import archive, refuse
from archiver.models import Asset, Generation, Slot, Undrawn
from archiver.planning import plan
from archiver.work import Job, JobKind, JobState, WantedJob
from archiver.worker import Settled

# A renderer says three times in this that it is still at it.
LEASE_SECONDS = 60.0

# What is trouble so often is not passing, such as a picture that no memory here can hold.
_MOST_TRIES = 10

NO_LONGER_WANTED = "no longer wanted"


def claim(tables: Tables, worker: str, *, fresh: bool, now: datetime) -> Commission | None:
    """The next slot to draw, leased; None if none waits."""
    tables.deliveries.beat(RENDERER, now=now)
    tables.jobs.promote(now=now)
    if is_time_steady(tables, now=now):
        tables.jobs.recover(now=now)
    if fresh:
        tables.renders.offer_again()
    while True:
        jobs = tables.jobs.claim(
            JobKind.RENDER, limit=1, worker=worker, lease_seconds=LEASE_SECONDS, now=now
        )
        if not jobs:
            return None
        (job,) = jobs
        generation, _ = _load(tables, job)
        wanted = _wanted(generation, job.subject)
        if wanted is None:
            tables.jobs.finish(job, JobState.CANCELLED, reason=NO_LONGER_WANTED, now=now)
        elif wanted.target != job.target:  # more was heard while somebody was at it
            _arm_anew(tables, job, wanted, now=now)
        elif wanted.state is JobState.DISCARDED:  # somebody tried it by hand, and died
            tables.jobs.finish(job, JobState.DISCARDED, reason=wanted.reason, now=now)
        else:
            return _commission(job, generation)


def claim_by_hand(tables: Tables, worker: str, number: int, *, now: datetime) -> Commission:
    """That slot, leased, whatever renderers have said of it; raises NotOfferedError."""
    tables.deliveries.beat(RENDERER, now=now)
    if is_time_steady(tables, now=now):
        tables.jobs.recover(now=now)
    generation = tables.generations.load_slot(number)
    if generation is None:
        raise NotOfferedError(f"no slot has the archive number {number}")
    wanted = _wanted(generation, number)
    if wanted is None:
        slot = _slot(generation, number)
        raise NotOfferedError(f"slot {number} is not to be drawn; {slot.state}: {slot.reason}")
    tables.jobs.want([wanted], now=now)
    job = tables.renders.claim(number, worker=worker, lease_seconds=LEASE_SECONDS, now=now)
    if job is None:
        holder = tables.renders.holder(number)
        raise NotOfferedError(f"slot {number} is being drawn already, by {holder}")
    return _commission(job, generation)


def recall(tables: Tables, job_id: int, fence: int) -> Commission:
    """The commission of a lease's id and fence; LeaseLostError if it was leased again since."""
    found = tables.renders.leased(job_id, fence)
    if found is None:
        raise _lost(job_id, None)
    generation, _ = _load(tables, found[0])
    return _commission(found[0], generation)


def extend(tables: Tables, commission: Commission, *, now: datetime) -> bool:
    """Extends the lease; False if such a drawing is no longer wanted. Raises LeaseLostError."""
    tables.deliveries.beat(RENDERER, now=now)
    found = tables.renders.leased(commission.job_id, commission.fence)
    if found is not None and found[1] is JobState.CANCELLED:
        return False
    job = require(tables, commission)
    generation, _ = _load(tables, job)
    if not _is_as_wanted(generation, job):
        return False
    tables.jobs.heartbeat([job], lease_seconds=LEASE_SECONDS, now=now)
    return True


def require(tables: Tables, commission: Commission) -> Job:
    """The job, if it is still leased by that commission; raises LeaseLostError."""
    found = tables.renders.leased(commission.job_id, commission.fence)
    if found is None or found[1] is not JobState.RUNNING:
        raise _lost(commission.job_id, found[1] if found else None)
    return found[0]


def is_held(tables: Tables, *, job_id: int, fence: int) -> bool:
    """Whether a lease of that id and fence still runs."""
    found = tables.renders.leased(job_id, fence)
    return found is not None and found[1] is JobState.RUNNING


def is_completed(tables: Tables, commission: Commission) -> bool:
    """Whether that very commission has been completed already."""
    found = tables.renders.leased(commission.job_id, commission.fence)
    return found is not None and found[1] is JobState.COMPLETED


def complete(tables: Tables, commission: Commission, asset: Asset, *, now: datetime) -> Settled:
    """The picture, which is in the bucket, becomes the slot's; raises LeaseLostError."""
    job = require(tables, commission)
    before, slot = _load(tables, job)
    if not _is_as_wanted(before, job):
        raise _lost(job.id, JobState.CANCELLED)
    tables.jobs.finish(job, JobState.COMPLETED, now=now)
    keep(tables, before, archive(before, slot.index, asset), now=now)
    flagged = asset.rendering is not None and asset.rendering.flagged
    return _settled("flagged" if flagged else "rendered", before, slot, size_bytes=asset.size_bytes)


def fail(
    tables: Tables,
    commission: Commission,
    verdict: Verdict,
    reason: str,
    *,
    again_at: datetime,
    now: datetime,
) -> Settled:
    """What follows from the verdict; `again_at` is for RETRY. Raises LeaseLostError."""
    job = require(tables, commission)
    before, slot = _load(tables, job)
    if verdict is Verdict.RELEASED:
        tables.jobs.release([job])
        return _settled(verdict, before, slot)
    after = before
    if verdict is Verdict.RETRY and job.attempts >= _MOST_TRIES:
        verdict, reason = Verdict.REFUSED, f"tried {job.attempts} times; {reason}"
    if verdict is Verdict.RETRY:
        tables.jobs.finish(job, JobState.SCHEDULED, reason=reason, run_at=again_at, now=now)
    else:
        final = verdict is Verdict.DISCARDED
        state = JobState.DISCARDED if final else JobState.HELD
        tables.jobs.finish(job, state, reason=reason, now=now)
        undrawn = Undrawn(target=job.target, reason=reason, final=final)
        after = refuse(before, slot.index, undrawn)
    keep(tables, before, after, now=now)
    return _settled(verdict, before, slot, reason=reason, attempts=job.attempts)


def _wanted(generation: Generation, number: int) -> WantedJob | None:
    drawings = (job for job in plan(generation) if job.kind is JobKind.RENDER)
    return next((job for job in drawings if job.subject == number), None)


def _is_as_wanted(generation: Generation, job: Job) -> bool:
    """Whether the slot is still to be drawn, and from what it was when the job was given out."""
    wanted = _wanted(generation, job.subject)
    return wanted is not None and wanted.target == job.target


def _arm_anew(tables: Tables, job: Job, wanted: WantedJob, *, now: datetime) -> None:
    tables.jobs.release([job])
    tables.jobs.want([wanted], now=now)


def _load(tables: Tables, job: Job) -> tuple[Generation, Slot]:
    generation = tables.generations.load_slot(job.subject)
    assert generation is not None  # rows are never deleted under a job
    return generation, _slot(generation, job.subject)


def _slot(generation: Generation, number: int) -> Slot:
    return next(slot for slot in generation.slots if slot.number == number)


def _commission(job: Job, generation: Generation) -> Commission:
    return Commission(
        job_id=job.id,
        target=job.target,
        fence=job.fence,
        lease_seconds=LEASE_SECONDS,
        generation=_as_told(generation),
        index=_slot(generation, job.subject).index,
    )


def _as_told(generation: Generation) -> Generation:
    """As much of it as drawing takes: not whose it is, nor where its links lead."""
    slots = tuple(
        replace(slot, links=tuple(replace(link, location="", host="") for link in slot.links))
        for slot in generation.slots
    )
    return replace(generation, account=None, track_id=None, cost=None, slots=slots)


def _lost(job_id: int, state: JobState | None) -> LeaseLostError:
    why = {
        None: "the lease passed to another renderer",
        JobState.CANCELLED: NO_LONGER_WANTED,
    }.get(state, "the lease ran out, or was ended")
    return LeaseLostError(f"render job {job_id}: {why}")


def _settled(outcome: str, generation: Generation, slot: Slot, **says: object) -> Settled:
    named = {"provider": generation.provider, "generation": generation.id, "slot": slot.index}
    return Settled(outcome=outcome, says={**named, **says})
