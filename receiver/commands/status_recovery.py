"""What `holdfast status` says of the last audit and of the last backup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from archiver.catalog import Tables
from archiver.catalog.deliveries import BACKUP
from archiver.catalog.fixity import AuditRow
from archiver.moments import to_text
from receiver.commands.status_line import Line, Urgency, lasting
from receiver.settings import Backup

# One that is missed is tried again every ten minutes.
_LATE = 1.5


def recovery(tables: Tables, settings: Backup, now: datetime) -> dict[str, Any]:
    """Objects that are amiss by outcome, the last audit, and how old the last backup is."""
    last, beat_at = tables.fixity.last(), tables.deliveries.last_beat_at(BACKUP)
    seconds_ago = round((now - beat_at).total_seconds(), 1) if beat_at else None
    return {
        "audit": {"amiss": dict(tables.fixity.count_amiss()), "last": last and _audit(last)},
        "backup_seconds_ago": seconds_ago,
        "backup_is_late": is_late(seconds_ago, settings),
    }


def is_late(seconds_ago: float | None, settings: Backup) -> bool:
    """Whether a backup that is as old should have been followed by another, and was not."""
    if seconds_ago is None or not settings.every_hours:
        return False
    return seconds_ago > _LATE * settings.every_hours * 3600


def recovery_lines(facts: Mapping[str, Any]) -> Iterator[Line]:
    """The same for people."""
    amiss, last = facts["audit"]["amiss"], facts["audit"]["last"]
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(amiss.items()))
    if last is None:
        never = "never; holdfast audit looks whether the bucket is whole"
        yield Line(subject="audit", sentence=never)
    else:
        ended = f"ended {last['ended_at']}" if last["ended_at"] else "has not ended"
        found = f"; {counts}: holdfast search is:damaged" if counts else ""
        yield Line(
            subject="audit",
            sentence=f"{last['checked']:,} objects by {last['how']}, {ended}{found}",
            urgency=Urgency.AMISS if counts else Urgency.CALM,
        )
    seconds_ago = facts["backup_seconds_ago"]
    late = facts["backup_is_late"]
    ago = "never" if seconds_ago is None else f"{lasting(seconds_ago)} ago"
    yield Line(
        subject="backup",
        sentence=f"{ago}; the log says why there is none since" if late else ago,
        urgency=Urgency.AMISS if late else Urgency.CALM,
    )


def _audit(row: AuditRow) -> dict[str, Any]:
    return {
        "how": row.how,
        "sample": row.sample,
        "begun_at": to_text(row.begun_at),
        "ended_at": to_text(row.ended_at),
        "checked": row.checked,
    }
