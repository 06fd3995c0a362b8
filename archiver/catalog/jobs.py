"""The table `jobs`: a lease queue that gives out live deadlines first, the earliest first.

A claim raises the row's fence; only who shows the current fence may finish it, so a worker that
was thought dead and wakes up again changes nothing. Jobs that wait for a time are `scheduled`,
never `available`, which keeps the claim's index free of rows that nobody may have yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from archiver.catalog.leases import LEASE, RECOVER, job_from_row
from archiver.database import Connection
from archiver.errors import LeaseLostError
from archiver.moments import from_millis, to_millis
from archiver.work import (
    CANCELLED_BY_OPERATOR,
    HELD_BY_OPERATOR,
    Job,
    JobKind,
    JobState,
    WantedJob,
)

# A person's word outlasts planning: what was held stays so, what was cancelled until its target
# changes.
_HELD = f"jobs.state = 'held' AND jobs.reason = '{HELD_BY_OPERATOR}'"
_WANT = f"""
INSERT INTO jobs (kind, subject, target, state, reason, host, deadline_at, run_at, wanted_at)
VALUES (?,?,?,?,?,?,?,?,?)
ON CONFLICT (kind, subject) DO UPDATE SET
    target=excluded.target, host=excluded.host, deadline_at=excluded.deadline_at,
    state=CASE WHEN {_HELD} THEN jobs.state ELSE excluded.state END,
    reason=CASE WHEN {_HELD} THEN jobs.reason ELSE excluded.reason END,
    run_at=CASE WHEN {_HELD} THEN NULL ELSE excluded.run_at END,
    wanted_at=excluded.wanted_at, attempts=0, crashes=0, first_attempt_at=NULL, finished_at=NULL
WHERE jobs.state <> 'running'
    AND (jobs.target <> excluded.target
         OR jobs.state NOT IN ('available', 'scheduled', excluded.state)
            AND (jobs.kind <> 'derive' OR jobs.state = 'cancelled')
            AND jobs.reason NOT IN ('{HELD_BY_OPERATOR}', '{CANCELLED_BY_OPERATOR}')
         OR (jobs.state = 'available' OR {_HELD}) AND excluded.deadline_at < jobs.deadline_at)
"""

_MOST_URGENT = """id IN (SELECT id FROM jobs WHERE kind=? AND state='available' AND {when} {hosts}
             ORDER BY deadline_at NULLS FIRST, id LIMIT ?)"""
_LIVE = "(deadline_at IS NULL OR deadline_at > ?)"
_EXPIRED = "deadline_at <= ?"

# By the indexes of what is not done with, for of all fetches nearly all are.
_FIRST_LOSS = "SELECT min(dies_at) FROM ({}) AS losses".format(
    " UNION ALL ".join(
        f"SELECT min(deadline_at) AS dies_at FROM jobs INDEXED BY {index}"
        f" WHERE kind = 'fetch' AND {where}"
        for index, where in {
            "jobs_available": "state = 'available'",
            "jobs_scheduled": "state = 'scheduled'",
            "jobs_running": "state = 'running'",
            "jobs_amiss": "state = 'held' AND deadline_at > ?",
        }.items()
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRow:
    """A job as an operator sees it."""

    kind: JobKind
    state: JobState
    reason: str
    attempts: int
    run_at: datetime | None
    deadline_at: datetime | None


class Jobs:
    """The queue, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def want(self, jobs: Iterable[WantedJob], *, now: datetime) -> None:
        """Makes sure that each job is waiting or under way; a new target re-arms a row at rest.

        A running row is left alone: who finishes it plans again. What was derived once, or never
        could be, is not derived again: nothing that is heard later changes a picture's bytes.
        What a person holds is only brought up to date, and what one has cancelled is not wanted
        again for the same target.
        """
        self._connection.executemany(
            _WANT,
            [
                (
                    job.kind.value,
                    job.subject,
                    job.target,
                    job.state.value,
                    job.reason,
                    job.host,
                    to_millis(job.deadline_at),
                    to_millis(job.run_at),
                    to_millis(now),
                )
                for job in jobs
            ],
        )

    def cancel(self, kind: JobKind, subject: int, *, now: datetime) -> None:
        """Takes back a job that waits; one that was tried, or is held by a person, waits for one.

        A drawing is taken back even then, and from under whoever is at it: it takes long, and may
        have become forbidden.
        """
        self._connection.execute(
            "UPDATE jobs SET state='cancelled', reason='no longer wanted', finished_at=?,"
            " run_at=NULL, leased_by=NULL, lease_until=NULL WHERE kind=? AND subject=?"
            " AND (state IN ('available', 'scheduled') OR state='held' AND attempts=0"
            " OR kind='render' AND state IN ('running', 'held'))"
            f" AND NOT ({_HELD})",
            (to_millis(now), kind.value, subject),
        )

    def claim(
        self,
        kind: JobKind,
        *,
        limit: int,
        worker: str,
        lease_seconds: float,
        now: datetime,
        busy_hosts: Collection[str] = (),
    ) -> list[Job]:
        """Leases up to `limit` jobs: live deadlines first and earliest first, expired ones last."""
        claimed: list[Job] = []
        lease_until = to_millis(now + timedelta(seconds=lease_seconds))
        for when in (_LIVE, _EXPIRED):
            if len(claimed) == limit:
                break
            hosts = f"AND host NOT IN ({','.join('?' * len(busy_hosts))})" if busy_hosts else ""
            rows = self._connection.execute(
                LEASE.format(which=_MOST_URGENT.format(when=when, hosts=hosts)),
                (
                    worker,
                    lease_until,
                    to_millis(now),
                    kind.value,
                    to_millis(now),
                    *busy_hosts,
                    limit - len(claimed),
                ),
            )
            # RETURNING keeps no order of its own.
            claimed += sorted(map(job_from_row, rows), key=_urgency)
        return claimed

    def heartbeat(self, jobs: Iterable[Job], *, lease_seconds: float, now: datetime) -> None:
        """Extends the leases that are still held; a lost one stays lost."""
        lease_until = to_millis(now + timedelta(seconds=lease_seconds))
        self._connection.executemany(
            "UPDATE jobs SET lease_until=? WHERE id=? AND fence=? AND state='running'",
            [(lease_until, job.id, job.fence) for job in jobs],
        )

    def finish(
        self,
        job: Job,
        state: JobState,
        *,
        reason: str = "",
        run_at: datetime | None = None,
        forgiven: bool = False,
        now: datetime,
    ) -> None:
        """Ends the lease in `state`; raises LeaseLostError if it was no longer this worker's.

        `forgiven`: the next attempt counts as the first, because this one told nothing of its own.
        """
        resting = state not in (JobState.SCHEDULED, JobState.AVAILABLE)
        changed = self._connection.execute(
            "UPDATE jobs SET state=?, reason=?, run_at=?, finished_at=?, leased_by=NULL,"
            " lease_until=NULL, crashes=0,"
            " first_attempt_at=CASE WHEN ? THEN NULL ELSE first_attempt_at END"
            " WHERE id=? AND fence=? AND state='running'",
            (
                state.value,
                reason,
                to_millis(run_at),
                to_millis(now) if resting else None,
                forgiven,
                job.id,
                job.fence,
            ),
        ).rowcount
        if changed == 0:
            raise LeaseLostError(f"{job.kind} job {job.id}: the lease passed to another worker")

    def release(self, jobs: Iterable[Job]) -> None:
        """Gives claimed jobs back untried, as a worker does that is told to stop."""
        self._connection.executemany(
            "UPDATE jobs SET state='available', attempts=attempts-1, leased_by=NULL,"
            " lease_until=NULL WHERE id=? AND fence=? AND state='running'",
            [(job.id, job.fence) for job in jobs],
        )

    def promote(self, *, now: datetime) -> int:
        """Makes scheduled jobs available whose time has come."""
        return self._connection.execute(
            "UPDATE jobs SET state='available', run_at=NULL WHERE state='scheduled' AND run_at<=?",
            (to_millis(now),),
        ).rowcount

    def recover(
        self, *, now: datetime, lapsed_at: datetime | None = None, but: JobKind | None = None
    ) -> int:
        """Takes back the jobs of dead workers: leases that ran out; those of one kind excepted.

        `lapsed_at` is `now` but for who knows that all workers of before are dead.
        """
        return self._connection.execute(
            RECOVER, (to_millis(now), to_millis(lapsed_at or now), but or "")
        ).rowcount

    def hasten(self, kind: JobKind, reason: str, *, now: datetime) -> None:
        """Lets jobs that wait for a reason beginning like this be tried now."""
        self._connection.execute(
            "UPDATE jobs SET run_at=? WHERE kind=? AND state='scheduled' AND substr(reason,1,?)=?",
            (to_millis(now), kind.value, len(reason), reason),
        )

    def held_for_operator(self) -> list[int]:
        """The archive numbers whose fetch waits for a person."""
        rows = self._connection.execute(
            "SELECT subject FROM jobs WHERE kind='fetch' AND state='held'"
        )
        return [number for (number,) in rows]

    def ended_since(self, kind: JobKind, moment: datetime) -> list[int]:
        """The subjects of jobs of that kind that have ended since then, or are under way."""
        rows = self._connection.execute(
            "SELECT subject FROM jobs WHERE kind=? AND (finished_at >= ? OR state='running')"
            " ORDER BY subject",
            (kind.value, to_millis(moment)),
        )
        return [subject for (subject,) in rows]

    def of(self, kind: JobKind, subject: int) -> JobRow | None:
        """The job of that kind for that subject, or None."""
        row = self._connection.execute(
            "SELECT kind, state, reason, attempts, run_at, deadline_at FROM jobs"
            " WHERE kind=? AND subject=?",
            (kind.value, subject),
        ).fetchone()
        if row is None:
            return None
        kind_text, state, reason, attempts, run_at, deadline_at = row
        return JobRow(
            kind=JobKind(kind_text),
            state=JobState(state),
            reason=reason,
            attempts=attempts,
            run_at=from_millis(run_at),
            deadline_at=from_millis(deadline_at),
        )

    def count(self) -> Mapping[tuple[str, str], int]:
        """How many jobs each (kind, state) has."""
        rows = self._connection.execute("SELECT kind, state, count(*) FROM jobs GROUP BY 1, 2")
        return {(kind, state): count for kind, state, count in rows}

    def first_loss_at(self, *, now: datetime) -> datetime | None:
        """When the first link dies that is not fetched yet, or None.

        A held one counts as long as it lives; what waits counts even when it is overdue.
        """
        deadline_at: int | None
        (deadline_at,) = self._connection.execute(_FIRST_LOSS, (to_millis(now),)).fetchone()
        return from_millis(deadline_at)


def _urgency(job: Job) -> tuple[int, int]:
    return to_millis(job.deadline_at) or 0, job.id
