"""Leases, in SQL: how a job is given to a worker, and taken back when the worker has died."""

from __future__ import annotations

from typing import Any

from archiver.moments import from_millis
from archiver.work import Job, JobKind

# A job that killed its worker this often in a row is held, until it is heard of again or the
# service starts. Most such deaths are not its doing: only from the third on it waits, and longer
# each time, so that deaths in quick succession do not all count against the same jobs.
MAX_CRASHES = 8
_PAUSED_FROM = 3
_PAUSE_MILLIS = 5000

COLUMNS = "id, kind, subject, target, host, deadline_at, attempts, first_attempt_at, fence"
LEASE = f"""
UPDATE jobs SET state='running', attempts=attempts+1, fence=fence+1, leased_by=?, lease_until=?,
    first_attempt_at=coalesce(first_attempt_at, ?), run_at=NULL, finished_at=NULL
WHERE {{which}}
RETURNING {COLUMNS}
"""

RECOVER = f"""
UPDATE jobs SET crashes=crashes+1, leased_by=NULL, lease_until=NULL,
    state=CASE WHEN crashes+1 < {_PAUSED_FROM} THEN 'available'
        WHEN crashes+1 < {MAX_CRASHES} THEN 'scheduled' ELSE 'held' END,
    run_at=CASE WHEN crashes+1 BETWEEN {_PAUSED_FROM} AND {MAX_CRASHES - 1}
        THEN CAST(? AS BIGINT) + ({_PAUSE_MILLIS} << CAST(crashes+1-{_PAUSED_FROM} AS INTEGER)) END,
    reason=CASE WHEN crashes+1 < {MAX_CRASHES} THEN 'its worker died'
        ELSE 'its worker died ' || (crashes+1) || ' times' END
WHERE state='running' AND lease_until < ? AND kind <> ?
"""


def job_from_row(row: tuple[Any, ...]) -> Job:
    """`COLUMNS` as a value."""
    job_id, kind, subject, target, host, deadline_at, attempts, first_attempt_at, fence = row
    return Job(
        id=job_id,
        kind=JobKind(kind),
        subject=subject,
        target=target,
        host=host,
        deadline_at=from_millis(deadline_at),
        attempts=attempts,
        first_attempt_at=from_millis(first_attempt_at),
        fence=fence,
    )
