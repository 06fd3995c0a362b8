"""The tables `notices` and `wanted_events`: what is to be told, and what was, each once.

A notice is written in the very transaction in which its generation comes to stand so, and with it
its job; so nothing is told that did not happen, and nothing that happened is forgotten in a crash.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from archiver.database import Connection
from archiver.moments import from_millis, to_millis
from archiver.notices import Event, Notice
from archiver.work import HELD_BY_OPERATOR, JobKind, WantedJob

# One whose job was taken back, for the generation had gone on, was told to nobody.
_NOTE = """
INSERT INTO notices (generation, event, happened_at) VALUES (?,?,?)
ON CONFLICT (generation, event) DO UPDATE SET happened_at = excluded.happened_at
WHERE EXISTS (
    SELECT 1 FROM jobs WHERE kind='notify' AND subject=notices.number AND state='cancelled'
)
RETURNING number
"""


class Notices:
    """What is told, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def wanted(self) -> frozenset[Event]:
        """What anybody wants to be told of."""
        rows = self._connection.execute("SELECT event FROM wanted_events")
        return frozenset(Event(event) for (event,) in rows)

    def want(self, events: Collection[Event]) -> None:
        """From now on these are noted, and no others; what happened before is not."""
        self._connection.execute("DELETE FROM wanted_events")
        self._connection.executemany(
            "INSERT INTO wanted_events VALUES (?)", [(event.value,) for event in set(events)]
        )

    def take_back(self, *, now: datetime) -> int:
        """Cancels the jobs that nobody wants any more; the answer is how many."""
        return self._connection.execute(
            "UPDATE jobs SET state='cancelled', reason='notify.events does not name it',"
            " run_at=NULL, finished_at=? WHERE kind='notify'"
            " AND state IN ('available', 'scheduled', 'held')"
            " AND target NOT IN (SELECT event FROM wanted_events)",
            (to_millis(now),),
        ).rowcount

    def free(self) -> None:
        """Has the jobs that killed their workers tried anew; what a person holds stays held."""
        self._connection.execute(
            "UPDATE jobs SET state='available', reason='', attempts=0, crashes=0,"
            " first_attempt_at=NULL WHERE kind='notify' AND state='held' AND reason <> ?",
            (HELD_BY_OPERATOR,),
        )

    def note(self, happened: Iterable[tuple[int, Event]], *, now: datetime) -> list[WantedJob]:
        """Notes what generations, by their keys, have come to; the jobs that tell what is new."""
        jobs = []
        for key, event in happened:
            row = self._connection.execute(_NOTE, (key, event.value, to_millis(now))).fetchone()
            if row is not None:
                job = WantedJob(kind=JobKind.NOTIFY, subject=row[0], target=event.value)
                jobs.append(job)
        return jobs

    def is_ordered_since(self, number: int, moment: datetime) -> bool:
        """Whether a person has had a notice sent anew after that moment."""
        row = self._connection.execute(
            "SELECT 1 FROM notices JOIN jobs ON kind='notify' AND subject=number"
            " WHERE number=? AND wanted_at > max(happened_at, ?)",
            (number, to_millis(moment)),
        ).fetchone()
        return row is not None

    def get(self, number: int) -> Notice | None:
        """One notice."""
        row = self._connection.execute(
            "SELECT number, generation, event, happened_at FROM notices WHERE number = ?", (number,)
        ).fetchone()
        if row is None:
            return None
        found, generation, event, happened_at = row
        return Notice(
            number=found,
            generation=generation,
            event=Event(event),
            happened_at=from_millis(happened_at),
        )
