"""A person's orders about jobs: to try them now, to hold, to release, to cancel.

A job follows from the facts of its generation and is planned anew after each change, so an order
that only wrote into its row would not last. Whatever an order means for the facts is said to the
facts first (`revival`); hold and cancel also leave a reason in the row that planning respects.

Each order is one transaction's work and says why nothing was to be done, or "" if it was done.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from archiver.catalog import Tables
from archiver.catalog.orders import JobLine, is_held_by_operator
from archiver.ledger import keep
from archiver.models import Generation, Slot, SlotState
from archiver.notices import Event, event_of
from archiver.planning import plan
from archiver.revival import (
    ask_again,
    give_up_drawing,
    give_up_links,
    offer_again,
    revive_links,
)
from archiver.work import (
    CANCELLED_BY_OPERATOR,
    HELD_BY_OPERATOR,
    SLOT_KINDS,
    JobKind,
    JobState,
    WantedJob,
)

_GONE = "there is no such job any more"
_UNDER_WAY = "it is under way just now"
_ITS_TURN = "it is its turn already"
_NOTHING_LEFT = "nothing is left to do"
_ENDED = "it has ended"
_WAITS = (JobState.AVAILABLE, JobState.SCHEDULED, JobState.HELD)


def retry(tables: Tables, number: int, *, now: datetime) -> str:
    """Tries a job now: what waits for its time, what is held, and what was given up.

    Of a fetch that means that its slot's links are believed in again as long as they live, and of
    a drawing that it is offered to renderers again. What a person holds, only `release` frees.
    """
    job = tables.orders.get(number)
    if job is None:
        return _GONE
    if job.state in (JobState.RUNNING, JobState.AVAILABLE):
        return _UNDER_WAY if job.state is JobState.RUNNING else _ITS_TURN
    if is_held_by_operator(job):
        return f"it is {HELD_BY_OPERATOR}: holdfast jobs release {number}"
    # A message is ordered anew, for only so is it sent to who once wanted no more.
    if job.state is JobState.SCHEDULED and job.kind is not JobKind.NOTIFY:
        tables.orders.hasten(number, now=now)
        return ""
    return _begin_anew(tables, job, now)


def was_needless(why_not: str) -> bool:
    """Whether a retry was not ordered because a service is about it, or has done it."""
    return why_not in (_UNDER_WAY, _ITS_TURN) or why_not.startswith(_NOTHING_LEFT)


def hold(tables: Tables, number: int, *, now: datetime) -> str:
    """Holds a job until a person orders otherwise, whatever is planned or started meanwhile.

    Its slot stands as it stood, and its link goes on dying. What is under way is not stopped.
    """
    job = tables.orders.get(number)
    if job is None:
        return _GONE
    if job.state not in _WAITS:
        return _UNDER_WAY if job.state is JobState.RUNNING else _ENDED
    tables.orders.hold(number)
    return ""


def release(tables: Tables, number: int, *, now: datetime) -> str:
    """Frees what a person held: it is tried as soon as it is its turn, if it is still wanted."""
    job = tables.orders.get(number)
    if job is None:
        return _GONE
    if not is_held_by_operator(job):
        return f"it is not {HELD_BY_OPERATOR}"
    why_not = _begin_anew(tables, job, now)
    if why_not:
        tables.orders.rest(number, "no longer wanted", now=now)
    return why_not


def cancel(tables: Tables, number: int, *, now: datetime) -> str:
    """Gives a job up until something new is heard: a fresh link, other parameters, a change.

    A slot whose fetch is given up is dead, and one whose drawing is given up stays undrawn. Where
    nobody asks any more, a webhook is still heard. A drawing is stopped even when under way.
    """
    job = tables.orders.get(number)
    if job is None:
        return _GONE
    drawing = job.kind is JobKind.RENDER and job.state is JobState.RUNNING
    if job.state not in _WAITS and not drawing:
        return _UNDER_WAY if job.state is JobState.RUNNING else _ENDED
    tables.orders.rest(number, CANCELLED_BY_OPERATOR, now=now)
    before = _load(tables, job)
    if before is not None:
        keep(tables, before, _given_up(before, job), now=now)
    return ""


ORDERS: dict[str, Callable[..., str]] = {
    "retry": retry,
    "hold": hold,
    "release": release,
    "cancel": cancel,
}


def _begin_anew(tables: Tables, job: JobLine, now: datetime) -> str:
    """Has a job at rest planned as if it had never been, if the facts still want it."""
    before = _load(tables, job)
    if before is None:
        return "its generation is no longer there"
    if job.kind is JobKind.NOTIFY:
        return _tell_again(tables, job, before, now)
    after = _revived(before, job, now)
    if not any((it.kind, it.subject) == (job.kind, job.subject) for it in plan(after)):
        return _why_not(after, job, now)
    if job.kind is JobKind.DERIVE:
        tables.previews.forget_refusal(bytes.fromhex(job.target))
    tables.orders.rest(job.number, "ordered anew", now=now)
    keep(tables, before, after, now=now)
    return ""


def _tell_again(tables: Tables, job: JobLine, generation: Generation, now: datetime) -> str:
    """Sends a message anew, under the same id, if it is still true and anybody wants it."""
    event = Event(job.target)
    if event not in tables.notices.wanted():
        return "there is no notify.url, or notify.events does not name it"
    if event_of(generation) is not event:
        return f"nothing is left to tell: the generation is not {event} any more"
    tables.orders.rest(job.number, "ordered anew", now=now)
    again = WantedJob(kind=job.kind, subject=job.subject, target=job.target)
    tables.jobs.want([again], now=now)
    return ""


def _revived(before: Generation, job: JobLine, now: datetime) -> Generation:
    slot = _slot(before, job)
    if job.kind is JobKind.POLL:
        return ask_again(before)
    if slot is not None and job.kind is JobKind.FETCH:
        return revive_links(before, slot.index, now=now)
    if slot is not None and job.kind is JobKind.RENDER:
        return offer_again(before, slot.index)
    return before


def _given_up(before: Generation, job: JobLine) -> Generation:
    slot = _slot(before, job)
    if slot is not None and job.kind is JobKind.FETCH:
        return give_up_links(before, slot.index, CANCELLED_BY_OPERATOR)
    if slot is not None and job.kind is JobKind.RENDER:
        return give_up_drawing(before, slot.index, CANCELLED_BY_OPERATOR)
    return before


def _why_not(generation: Generation, job: JobLine, now: datetime) -> str:
    slot = _slot(generation, job)
    if slot is None:
        return f"{_NOTHING_LEFT}: the generation has {generation.state}"
    dies_at = max((link.expires_at for link in slot.links), default=now)
    if job.kind is JobKind.FETCH and slot.state is not SlotState.ARCHIVED and dies_at < now:
        return f"its link died at {dies_at:%F %T} UTC"
    return f"{_NOTHING_LEFT}: the slot is {slot.state}, {slot.reason}"


def _load(tables: Tables, job: JobLine) -> Generation | None:
    return None if job.generation is None else tables.generations.load_key(job.generation)


def _slot(generation: Generation, job: JobLine) -> Slot | None:
    if job.kind not in SLOT_KINDS:
        return None
    return next((slot for slot in generation.slots if slot.number == job.subject), None)
