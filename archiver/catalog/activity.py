"""What a provider was last asked for: enough to keep within a plan's limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from archiver.database import Connection
from archiver.lifecycle import UNDER_WAY
from archiver.moments import from_millis, to_millis

# No plan allows half as many generations a day, and no more are looked at.
_NEWEST = 50_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Recent:
    """A generation, when it was first heard of, and whether the provider is done with it."""

    id: str
    first_heard_at: datetime
    has_ended: bool


def heard_since(connection: Connection, provider: str, since: datetime) -> list[Recent]:
    """The provider's generations that were first heard of after that moment."""
    rows = connection.execute(
        "SELECT id, first_heard_at, state FROM generations NOT INDEXED"  # by key
        " WHERE key > (SELECT max(key) FROM generations) - ?"
        " AND provider = ? AND first_heard_at > ?",
        (_NEWEST, provider, to_millis(since)),
    )
    return [
        Recent(
            id=name,
            first_heard_at=from_millis(first_heard_at),
            has_ended=state not in UNDER_WAY,
        )
        for name, first_heard_at, state in rows
    ]
