"""The drawings in the table `jobs`: asked for by number, refused and offered again.

Whoever draws may stand on another host and know a lease by nothing but its id and its fence.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from archiver.catalog.leases import COLUMNS, LEASE, MAX_CRASHES, job_from_row
from archiver.database import Connection
from archiver.moments import to_millis
from archiver.work import HELD_BY_OPERATOR, Job, JobState

# The heartbeats' name for all that draw, wherever they stand.
RENDERER = "render"


class Renders:
    """The render jobs, inside the caller's transaction; all else about them is as of any job."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def claim(self, number: int, *, worker: str, lease_seconds: float, now: datetime) -> Job | None:
        """Leases the job of that slot, however it stands; None if there is none, or it runs."""
        lease_until = to_millis(now + timedelta(seconds=lease_seconds))
        row = self._connection.execute(
            LEASE.format(which="kind='render' AND subject=? AND state<>'running'"),
            (worker, lease_until, to_millis(now), number),
        ).fetchone()
        return job_from_row(row) if row else None

    def leased(self, job_id: int, fence: int) -> tuple[Job, JobState] | None:
        """The job whose latest claim shows that fence, and how it stands; None: it is not that.

        Only while it runs is it still leased.
        """
        row = self._connection.execute(
            f"SELECT {COLUMNS}, state FROM jobs WHERE kind='render' AND id=? AND fence=?",
            (job_id, fence),
        ).fetchone()
        return (job_from_row(row[:-1]), JobState(row[-1])) if row else None

    def holder(self, number: int) -> str:
        """Who has leased the job of that slot; empty if nobody has."""
        row = self._connection.execute(
            "SELECT leased_by FROM jobs WHERE kind='render' AND subject=? AND state='running'",
            (number,),
        ).fetchone()
        return row[0] if row else ""

    def offer_again(self) -> None:
        """Makes available what was refused, unless it is final or killed too many workers.

        What a person holds stays held.
        """
        self._connection.execute(
            "UPDATE jobs SET state='available'"
            " WHERE kind='render' AND state='held' AND crashes < ? AND reason <> ?",
            (MAX_CRASHES, HELD_BY_OPERATOR),
        )

    def refusals(self) -> Mapping[str, int]:
        """Why those rest that are held or discarded, the most frequent reason first."""
        rows = self._connection.execute(
            "SELECT reason, count(*) FROM jobs"
            " WHERE kind='render' AND state IN ('held', 'discarded')"
            " GROUP BY 1 ORDER BY 2 DESC, 1"
        )
        return dict(rows)
