"""The table `jobs` when a clock was set: leases, waits and verdicts were moments of that clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from archiver.database import Connection
from archiver.moments import to_millis
from archiver.work import JobKind


class Leaps:
    """What a leap of time has to be made good for, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def renew(self, *, until: datetime) -> None:
        """Has every lease end then: who lives renews it again, who does not loses it then."""
        self._connection.execute(
            "UPDATE jobs SET lease_until=? WHERE state='running'", (to_millis(until),)
        )

    def bring_forward(self, by: timedelta, *, now: datetime) -> None:
        """Shortens the waits that a clock has begun which was ahead by so much."""
        at, milliseconds = to_millis(now), by // timedelta(milliseconds=1)
        self._connection.execute(
            "UPDATE jobs SET run_at=max(?, run_at - ?) WHERE state='scheduled' AND run_at > ?",
            (at, milliseconds, at),
        )
        self._connection.execute(
            "UPDATE jobs SET first_attempt_at=NULL"
            " WHERE state IN ('scheduled', 'available', 'running') AND first_attempt_at > ?",
            (at,),
        )

    def given_up_since(self, moment: datetime) -> Sequence[tuple[JobKind, int, str]]:
        """Kind, subject and target of what was given up from then on, and of the last questions
        about pictures that have not come.

        Looks at every row, which is seldom worth it.
        """
        rows = self._connection.execute(
            "SELECT kind, subject, target FROM jobs WHERE finished_at >= ? AND ("
            " state='discarded' AND kind IN ('fetch', 'notify')"
            " OR state='completed' AND kind='poll' AND EXISTS ("
            "  SELECT 1 FROM slots WHERE generation=jobs.subject AND slots.state<>'archived')"
            ") ORDER BY id",
            (to_millis(moment),),
        )
        return [(JobKind(kind), subject, target) for kind, subject, target in rows]
