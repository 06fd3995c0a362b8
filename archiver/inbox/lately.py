"""What an inbox has taken in lately, added up: of what source, in what way, verified by what.

Only the newest rows are read, so that it is as quick where there are millions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from archiver.errors import InboxUnavailableError
from archiver.inbox.sqlite import inbox_files
from archiver.models import Heard
from archiver.moments import from_millis, to_millis
from archiver.sqlite import Error, open_reader

MOST_ROWS = 10_000
_DAY_MILLIS = 24 * 3_600_000

_BACKLOG = "SELECT count(*) FROM deliveries WHERE position > :reached"
_TALLIES = f"""
WITH newest AS MATERIALIZED (
    SELECT position, source, heard, verified_by, received_at FROM deliveries
    ORDER BY position DESC LIMIT :rows
), lasts AS (
    SELECT source, heard, max(received_at) AS last_at FROM newest GROUP BY 1, 2
)
SELECT source, heard, verified_by, sum(received_at >= :since),
    sum(received_at >= :since AND position > :reached),
    sum(received_at > lasts.last_at - {_DAY_MILLIS}), max(received_at)
FROM newest JOIN lasts USING (source, heard) GROUP BY 1, 2, 3
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Deliveries of one source, heard in one way and verified by one label.

    `count` of them came since the moment that was asked for, and of those `waiting` are not yet
    absorbed. `daily` came within the day before the last of that source and way, be it verified by
    whatever label; their own last was received at `last_at`.
    """

    source: str
    heard: Heard
    verified_by: str
    count: int
    waiting: int
    daily: int
    last_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Lately:
    """What all inboxes of a folder took in since some moment.

    `backlog` is all that is not yet absorbed, however long ago it came. `exact`: no more came since
    than was looked at. `unreadable` has a sentence on each inbox that cannot be read.
    """

    found: Sequence[Tally]
    backlog: int
    exact: bool
    unreadable: Sequence[str]


def lately(
    folder: Path, *, since: datetime, reached: Callable[[str], int], rows: int = MOST_ROWS
) -> Lately:
    """The newest `rows` of each inbox, added up.

    `reached` says of an inbox by its own name up to which position it is absorbed.
    """
    found: list[Tally] = []
    unreadable: list[str] = []
    backlog, exact = 0, True
    for path in inbox_files(folder):
        try:
            own, waiting = _added_up(path, since, reached, rows)
        except InboxUnavailableError as error:
            unreadable.append(str(error))
            continue
        exact = exact and sum(one.count for one in own) < rows
        found += own
        backlog += waiting
    return Lately(found=found, backlog=backlog, exact=exact, unreadable=unreadable)


def _added_up(
    path: Path, since: datetime, reached: Callable[[str], int], rows: int
) -> tuple[Sequence[Tally], int]:
    """Of one inbox, and how much of it is not yet absorbed; raises InboxUnavailableError."""
    try:
        with closing(open_reader(path)) as connection:
            [(uuid,)] = connection.execute("SELECT uuid FROM inbox").fetchall() or [("",)]
            values = {"since": to_millis(since), "reached": reached(uuid), "rows": rows}
            found = connection.execute(_TALLIES, values).fetchall()
            (backlog,) = connection.execute(_BACKLOG, values).fetchone()
    except Error as error:
        raise InboxUnavailableError(
            f"the inbox {path} cannot be read ({error}); what it holds is not lost: see that its "
            "disk is well and that holdfast may read it"
        ) from error
    told = [
        Tally(
            source=source,
            heard=Heard(heard),
            verified_by=verified_by,
            count=count,
            waiting=waiting,
            daily=daily,
            last_at=from_millis(last_at),
        )
        for source, heard, verified_by, count, waiting, daily, last_at in found
    ]
    return told, int(backlog)
