"""What an operator sees at a glance: read from indexes, so that an archive may be of any size.

What is under way or amiss is few, and an index holds it by itself. Of what is done an index is
counted, some tens of milliseconds for a million.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from archiver.database import Connection
from archiver.lifecycle import UNDER_WAY
from archiver.models import GenerationState, SlotState
from archiver.moments import from_millis, to_millis

# A look-up for each, where to list them would be to read the whole index.
PROVIDERS = """
WITH RECURSIVE providers (provider) AS (
    SELECT min(provider) FROM generations
    UNION ALL
    SELECT (SELECT min(provider) FROM generations WHERE provider > providers.provider)
    FROM providers WHERE providers.provider IS NOT NULL
)
"""


def _values(states: Sequence[str]) -> str:
    return "(VALUES {})".format(",".join(f"('{state}')" for state in states))


# As a table of one column, `column1`.
STATES = _values([state.value for state in GenerationState])
_UNDER_WAY = _values(sorted(state.value for state in UNDER_WAY))

_OF_STATE = "generations.provider = providers.provider AND state = column1"
_GENERATIONS = f"""
{PROVIDERS}
SELECT provider, column1, (SELECT count(*) FROM generations WHERE {_OF_STATE})
FROM providers CROSS JOIN {STATES} AS states
"""
_OLDEST_UNDER_WAY = f"""
{PROVIDERS}
SELECT providers.provider, count(*), min(first_heard_at)
FROM providers CROSS JOIN {_UNDER_WAY} AS states CROSS JOIN generations
WHERE {_OF_STATE} GROUP BY 1
"""

# Each part of the queue by the index that holds nothing else.
_DYING = """
SELECT count(*), count(*) FILTER (WHERE deadline_at <= :now) FROM (
    SELECT deadline_at FROM jobs INDEXED BY jobs_available
    WHERE state = 'available' AND kind = 'fetch' AND deadline_at <= :until
    UNION ALL
    SELECT deadline_at FROM jobs INDEXED BY jobs_scheduled
    WHERE state = 'scheduled' AND kind = 'fetch' AND deadline_at <= :until
    UNION ALL
    SELECT deadline_at FROM jobs INDEXED BY jobs_running
    WHERE state = 'running' AND kind = 'fetch' AND deadline_at <= :until
    UNION ALL
    SELECT deadline_at FROM jobs INDEXED BY jobs_amiss
    WHERE state = 'held' AND kind = 'fetch' AND deadline_at > :now AND deadline_at <= :until
) AS dying
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class DyingLinks:
    """How many links that are not fetched yet die until some moment.

    `overdue`: those that may be dead already, and are still tried.
    """

    soon: int
    overdue: int


@dataclass(frozen=True, kw_only=True, slots=True)
class UnderWay:
    """A provider's generations that have not ended, and since when the first of them is known."""

    count: int
    since: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Discarded:
    """Jobs of a kind that nobody tries any more, for one reason."""

    kind: str
    reason: str
    count: int


class Overview:
    """Reads, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def generations(self) -> Mapping[tuple[str, str], int]:
        """How many generations each (provider, state) has."""
        rows = self._connection.execute(_GENERATIONS)
        return {(provider, state): count for provider, state, count in rows if count}

    def reasons(self, state: SlotState) -> Mapping[str, int]:
        """Why slots are held, or dead, in the law's own words; the most frequent first."""
        rows = self._connection.execute(
            "SELECT substr(reason || ':', 1, instr(reason || ':', ':') - 1), count(*)"
            f" FROM slots INDEXED BY slots_amiss WHERE state = '{state.value}'"
            " GROUP BY 1 ORDER BY 2 DESC, 1"
        )
        return dict(rows)

    def dying(self, *, now: datetime, until: datetime) -> DyingLinks:
        """The links that die until then; as in `Jobs.first_loss_at`, a held one while it lives."""
        count, overdue = self._connection.execute(
            _DYING, {"now": to_millis(now), "until": to_millis(until)}
        ).fetchone()
        return DyingLinks(soon=count - overdue, overdue=overdue)

    def discarded(self, *, limit: int) -> Sequence[Discarded]:
        """What was given up, the most frequent reason first."""
        rows = self._connection.execute(
            "SELECT kind, reason, count(*) FROM jobs INDEXED BY jobs_amiss"
            " WHERE state = 'discarded' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT ?",
            (limit,),
        )
        return [Discarded(kind=kind, reason=reason, count=count) for kind, reason, count in rows]

    def under_way(self) -> Mapping[str, UnderWay]:
        """The generations that have not ended, by provider."""
        rows = self._connection.execute(_OLDEST_UNDER_WAY)
        return {
            provider: UnderWay(count=count, since=from_millis(since))
            for provider, count, since in rows
        }

    def unparsed_since(self, since: datetime) -> Mapping[str, int]:
        """How many deliveries of each source came since then that could not be understood."""
        return dict(
            self._connection.execute(
                "SELECT source, count(*) FROM unparsed WHERE received_at >= ? GROUP BY 1",
                (to_millis(since),),
            )
        )

    def stored_bytes(self) -> int:
        """What the pictures take that are shown, each as often as a slot has it."""
        # In the words of the index `cards_by_size`, so that no card is read.
        (size_bytes,) = self._connection.execute(
            "SELECT ifnull(sum(ifnull(size_bytes, -1)), 0) FROM cards"
            " WHERE ifnull(size_bytes, -1) > 0"
        ).fetchone()
        return int(size_bytes)

    def newest_blob_key(self) -> str | None:
        """The object of the slot of the highest number that has one; None if none has."""
        row = self._connection.execute(
            "SELECT blob_key FROM assets ORDER BY slot DESC, origin DESC LIMIT 1"
        ).fetchone()
        return row[0] if row else None
