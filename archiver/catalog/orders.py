"""The table `jobs` as a person asks about it, and what a person's orders change in its rows.

What an order means for a generation is said elsewhere (`archiver.orders`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from archiver.database import Connection
from archiver.moments import from_millis, to_millis
from archiver.work import (
    CANCELLED_BY_OPERATOR,
    HELD_BY_OPERATOR,
    SLOT_KINDS,
    JobKind,
    JobState,
)

_OF_SLOTS = ",".join(f"'{kind}'" for kind in sorted(SLOT_KINDS))
_COLUMNS = (
    "jobs.id, kind, subject, target, jobs.state, jobs.reason, host, deadline_at, run_at, attempts,"
    " crashes, leased_by, lease_until, wanted_at, finished_at, generations.key, provider,"
    " generations.id"
)
_FROM = (
    f" FROM jobs LEFT JOIN slots ON kind IN ({_OF_SLOTS}) AND slots.number = subject"
    " LEFT JOIN notices ON kind = 'notify' AND notices.number = subject"
    f" LEFT JOIN generations ON key = CASE WHEN kind IN ({_OF_SLOTS}) THEN slots.generation"
    " WHEN kind = 'notify' THEN notices.generation ELSE subject END"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilter:
    """Which jobs: those that agree with all that is said, and what is empty says nothing.

    `numbers` are jobs' own; `reason` is a part of it, in any case; `host` stands for its
    sub-domains, too.
    """

    numbers: tuple[int, ...] = ()
    kinds: tuple[JobKind, ...] = ()
    states: tuple[JobState, ...] = ()
    reason: str = ""
    provider: str = ""
    host: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobLine:
    """A job, and the generation that it is for (None if that is no longer there)."""

    number: int
    kind: JobKind
    subject: int
    target: str
    state: JobState
    reason: str
    host: str
    deadline_at: datetime | None
    run_at: datetime | None
    attempts: int
    crashes: int
    leased_by: str | None
    lease_until: datetime | None
    wanted_at: datetime
    finished_at: datetime | None
    generation: int | None
    provider: str | None
    generation_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobCount:
    """How many jobs of a kind stand in a state, and the first deadline among them."""

    kind: JobKind
    state: JobState
    count: int
    first_deadline_at: datetime | None


class Orders:
    """The jobs by filter, and single rows by number, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def page(self, which: JobFilter, *, below: int | None, limit: int) -> list[JobLine]:
        """The newest first, all of a lower number than `below`."""
        where, values = _conditions(which)
        if below is not None:
            where, values = [*where, "jobs.id < ?"], [*values, below]
        return self._lines(where, values, f"ORDER BY jobs.id DESC LIMIT {limit:d}")

    def after(self, which: JobFilter, *, above: int, limit: int) -> list[JobLine]:
        """The oldest first, all of a higher number than `above`."""
        where, values = _conditions(which)
        return self._lines(
            [*where, "jobs.id > ?"], [*values, above], f"ORDER BY jobs.id LIMIT {limit:d}"
        )

    def get(self, number: int) -> JobLine | None:
        """One job."""
        return next(iter(self._lines(["jobs.id = ?"], [number], "")), None)

    def count(self, which: JobFilter) -> list[JobCount]:
        """How many there are of each kind and state."""
        where, values = _conditions(which)
        rows = self._connection.execute(
            f"SELECT kind, jobs.state, count(*), min(deadline_at) {_FROM} {_where(where)}"
            " GROUP BY kind, jobs.state ORDER BY kind, jobs.state",
            values,
        )
        return [
            JobCount(
                kind=JobKind(kind),
                state=JobState(state),
                count=count,
                first_deadline_at=from_millis(first_deadline_at),
            )
            for kind, state, count, first_deadline_at in rows
        ]

    def hasten(self, number: int, *, now: datetime) -> None:
        """Lets a job that waits for its time be tried now."""
        self._connection.execute(
            "UPDATE jobs SET run_at=? WHERE id=? AND state='scheduled'", (to_millis(now), number)
        )

    def hold(self, number: int) -> None:
        """Holds a job that waits, until somebody orders otherwise."""
        self._connection.execute(
            "UPDATE jobs SET state='held', reason=?, run_at=NULL, finished_at=NULL"
            " WHERE id=? AND state IN ('available', 'scheduled', 'held')",
            (HELD_BY_OPERATOR, number),
        )

    def rest(self, number: int, reason: str, *, now: datetime) -> None:
        """Ends a job, from under whoever is at it; planning wants it again or does not."""
        self._connection.execute(
            "UPDATE jobs SET state='cancelled', reason=?, run_at=NULL, finished_at=?,"
            " leased_by=NULL, lease_until=NULL WHERE id=?",
            (reason, to_millis(now), number),
        )

    def _lines(self, where: Sequence[str], values: Sequence[Any], rest: str) -> list[JobLine]:
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} {_FROM} {_where(where)} {rest}", values
        ).fetchall()
        return [_line(row) for row in rows]


def _conditions(which: JobFilter) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    for column, wanted in (
        ("jobs.id", which.numbers),
        ("kind", which.kinds),
        ("jobs.state", which.states),
    ):
        if wanted:
            where.append(f"{column} IN ({','.join('?' * len(wanted))})")
            values += wanted
    if which.reason:
        where.append("instr(lower(jobs.reason), lower(?)) > 0")
        values.append(which.reason)
    if which.provider:
        where.append("provider = ?")
        values.append(which.provider)
    if which.host:
        where.append("substr('.' || host, length(host) + 2 - length(?)) = ?")
        values += [f".{which.host}"] * 2
    return where, values


def _where(conditions: Sequence[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def is_held_by_operator(job: JobLine) -> bool:
    """Whether a person holds it."""
    return job.state is JobState.HELD and job.reason == HELD_BY_OPERATOR


def is_cancelled_by_operator(job: JobLine) -> bool:
    """Whether a person has given it up, and nothing new has come since."""
    return job.state is JobState.CANCELLED and job.reason == CANCELLED_BY_OPERATOR


def _line(row: tuple[Any, ...]) -> JobLine:
    number, kind, subject, target, state, reason, host, deadline_at, run_at, *more = row
    attempts, crashes, leased_by, lease_until, wanted_at, finished_at, *generation = more
    key, provider, generation_id = generation
    return JobLine(
        number=number,
        kind=JobKind(kind),
        subject=subject,
        target=target,
        state=JobState(state),
        reason=reason,
        host=host,
        deadline_at=from_millis(deadline_at),
        run_at=from_millis(run_at),
        attempts=attempts,
        crashes=crashes,
        leased_by=leased_by,
        lease_until=from_millis(lease_until),
        wanted_at=from_millis(wanted_at),
        finished_at=from_millis(finished_at),
        generation=key,
        provider=provider,
        generation_id=generation_id,
    )
