"""What the metrics read at each scrape, however large the catalog is: what is not done with.

Each part of the queue is counted by an index that holds nothing but that part.
"""

from __future__ import annotations

from collections.abc import Mapping

from archiver.database import Connection
from archiver.moments import from_millis

_BY_INDEX = {
    "jobs_available": "state = 'available'",
    "jobs_scheduled": "state = 'scheduled'",
    "jobs_running": "state = 'running'",
    "jobs_amiss": "(state = 'held' OR state = 'discarded')",
}
# The states that are counted: all but those of jobs that are done with.
COUNTED_STATES = ("available", "scheduled", "running", "held", "discarded")

_JOBS = " UNION ALL ".join(
    f"SELECT kind, state, count(*) FROM jobs INDEXED BY {index} WHERE {where} GROUP BY 1, 2"
    for index, where in _BY_INDEX.items()
)


class Counts:
    """Counts, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def jobs(self) -> Mapping[tuple[str, str], int]:
        """How many jobs each (kind, state) has, of those states that are counted."""
        rows = self._connection.execute(_JOBS)
        return {(kind, state): count for kind, state, count in rows}

    def beats(self) -> Mapping[str, float]:
        """When each role, or what else has a heartbeat, last gave a sign of life; Unix seconds."""
        rows = self._connection.execute("SELECT role, beat_at FROM heartbeats")
        return {role: from_millis(beat_at).timestamp() for role, beat_at in rows}
