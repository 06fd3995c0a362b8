"""The slots whose picture is not in the bucket, with all that decides whether it may yet be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from archiver.database import Connection
from archiver.models import SlotState
from archiver.moments import from_millis, to_millis
from archiver.work import JobKind, JobState

# A link that was refused for want of a setting, or failed as a provider's bad day makes them fail,
# may give something yet; one that is gone (410) or too large, or that nobody wants, does not.
_LIVE_AT = (
    "SELECT max(expires_at) FROM links WHERE links.slot = slots.number AND expires_at > ?"
    " AND (links.failure_class IS NULL OR links.failure_class = 'operator'"
    " OR links.failure_class = 'renderable' AND links.failure_code <> 'gone')"
)
_JOB = "{0}.id, {0}.state, {0}.reason"
_PAGE = f"""
SELECT slots.number, slots.generation, provider, generations.id, slots.state, slots.reason,
    ({_LIVE_AT}), {_JOB.format("fetch")}, {_JOB.format("poll")}, {_JOB.format("render")}
FROM slots JOIN generations ON generations.key = slots.generation
LEFT JOIN jobs AS fetch ON fetch.kind = 'fetch' AND fetch.subject = slots.number
LEFT JOIN jobs AS poll ON poll.kind = 'poll' AND poll.subject = slots.generation
LEFT JOIN jobs AS render ON render.kind = 'render' AND render.subject = slots.number
WHERE slots.state = ? AND slots.number > ? ORDER BY slots.number LIMIT ?
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How the one job of a kind stands that a slot has."""

    number: int
    state: JobState
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unsafe:
    """A slot; `live_at` is until when one of its links lives that may give something yet."""

    number: int
    generation: int
    name: str
    state: SlotState
    reason: str
    live_at: datetime | None = None
    fetch: Standing | None = None
    poll: Standing | None = None
    render: Standing | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """A job that waits or is under way; `target` and `fence` tell one try from the next."""

    number: int
    target: str
    fence: int
    attempts: int
    is_running: bool


class UnsafeSlots:
    """Reads of what is not safe, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def page(self, state: SlotState, *, above: int, limit: int, now: datetime) -> Sequence[Unsafe]:
        """The slots of that state with a greater archive number, ascending."""
        rows = self._connection.execute(_PAGE, (to_millis(now), state.value, above, limit))
        return [_unsafe(row) for row in rows]

    def count_lapsed_leases(self, *, now: datetime) -> int:
        """How many jobs are held by workers that have said nothing for too long."""
        (count,) = self._connection.execute(
            "SELECT count(*) FROM jobs WHERE state = 'running' AND lease_until < ?",
            (to_millis(now),),
        ).fetchone()
        return int(count)

    def newest_generation(self) -> int:
        """The greatest key that there is; 0 if there is none."""
        (key,) = self._connection.execute("SELECT ifnull(max(key), 0) FROM generations").fetchone()
        return int(key)

    def pending(self, *, newest: int) -> Sequence[Pending]:
        """The fetches and polls of generations up to that key that have not come to rest."""
        rows = self._connection.execute(
            "SELECT id, target, fence, attempts, jobs.state FROM jobs"
            " LEFT JOIN slots ON kind = ? AND number = subject"
            " WHERE kind IN (?, ?) AND jobs.state IN ('available', 'scheduled', 'running')"
            " AND ifnull(generation, subject) <= ?",
            (JobKind.FETCH.value, JobKind.FETCH.value, JobKind.POLL.value, newest),
        )
        return [
            Pending(
                number=number,
                target=target,
                fence=fence,
                attempts=attempts,
                is_running=state == JobState.RUNNING.value,
            )
            for number, target, fence, attempts, state in rows
        ]


def _unsafe(row: tuple[Any, ...]) -> Unsafe:
    number, generation, provider, generation_id, state, reason, live_at, *jobs = row
    fetch, poll, render = (_standing(*jobs[at : at + 3]) for at in (0, 3, 6))
    return Unsafe(
        number=number,
        generation=generation,
        name=f"{provider}/{generation_id}",
        state=SlotState(state),
        reason=reason,
        live_at=from_millis(live_at),
        fetch=fetch,
        poll=poll,
        render=render,
    )


def _standing(number: int | None, state: str, reason: str) -> Standing | None:
    if number is None:
        return None
    return Standing(number=number, state=JobState(state), reason=reason)
