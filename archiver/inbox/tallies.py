"""The newest deliveries of one inbox, added up where they lie: the same SQL for file and server.

Only so many rows are read, so that it is as quick where there are millions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from archiver.database import Connection
from archiver.models import Heard
from archiver.moments import from_millis, to_millis

_DAY_MILLIS = 24 * 3_600_000

_BACKLOG = "SELECT count(*) FROM deliveries WHERE {whose} AND position > :reached"
_TALLIES = f"""
WITH newest AS MATERIALIZED (
    SELECT position, source, heard, verified_by, received_at FROM deliveries
    WHERE {{whose}} ORDER BY position DESC LIMIT :rows
), lasts AS (
    SELECT source, heard, max(received_at) AS last_at FROM newest GROUP BY 1, 2
)
SELECT source, heard, verified_by, count(*) FILTER (WHERE received_at >= :since),
    count(*) FILTER (WHERE received_at >= :since AND position > :reached),
    count(*) FILTER (WHERE received_at > lasts.last_at - {_DAY_MILLIS}), max(received_at)
FROM newest JOIN lasts USING (source, heard) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
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
class AddedUp:
    """Of one inbox: its newest deliveries, and how much of all of it is not yet absorbed."""

    found: Sequence[Tally]
    backlog: int


def add_up(
    connection: Connection, *, since: datetime, reached: int, rows: int, inbox: object = None
) -> AddedUp:
    """The newest `rows`, of which all up to the position `reached` is absorbed.

    `inbox` is whose rows they are where many inboxes share a table. Raises as the driver does.
    """
    whose = "inbox = :inbox" if inbox is not None else "true"
    values = {"since": to_millis(since), "reached": reached, "rows": rows, "inbox": inbox}
    found = connection.execute(_TALLIES.format(whose=whose), values).fetchall()
    (backlog,) = connection.execute(_BACKLOG.format(whose=whose), values).fetchone()
    told = [
        Tally(
            source=_text(source),
            heard=Heard(heard),
            verified_by=_text(verified_by),
            count=count,
            waiting=waiting,
            daily=daily,
            last_at=from_millis(last_at),
        )
        for source, heard, verified_by, count, waiting, daily, last_at in found
    ]
    return AddedUp(found=told, backlog=int(backlog))


def _text(kept: str | bytes) -> str:
    """As it was given: a server keeps the bytes of what strangers choose."""
    return kept if isinstance(kept, str) else kept.decode("utf-8", "surrogatepass")
