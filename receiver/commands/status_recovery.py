"""What `holdfast status` says of the last audit and of the last backup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from archiver.catalog import Tables
from archiver.catalog.fixity import AuditRow
from archiver.moments import to_text
from archiver.recovery.backup import BACKUP


def recovery(tables: Tables, now: datetime) -> dict[str, Any]:
    """Objects that are amiss by outcome, the last audit, and how old the last backup is."""
    last, beat_at = tables.fixity.last(), tables.deliveries.last_beat_at(BACKUP)
    seconds_ago = round((now - beat_at).total_seconds(), 1) if beat_at else None
    return {
        "audit": {"amiss": dict(tables.fixity.count_amiss()), "last": last and _audit(last)},
        "backup_seconds_ago": seconds_ago,
    }


def recovery_lines(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The same for people: what it is about, and a sentence."""
    amiss, last = status["audit"]["amiss"], status["audit"]["last"]
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(amiss.items()))
    if last is None:
        yield "audit", "never; holdfast audit looks whether the bucket is whole"
    else:
        ended = f"ended {last['ended_at']}" if last["ended_at"] else "has not ended"
        found = f"; {counts}: holdfast search is:damaged" if counts else ""
        yield "audit", f"{last['checked']:,} objects by {last['how']}, {ended}{found}"
    seconds_ago = status["backup_seconds_ago"]
    hours = "never" if seconds_ago is None else f"{seconds_ago / 3600:.1f} h ago"
    yield "backup", hours


def _audit(row: AuditRow) -> dict[str, Any]:
    return {
        "how": row.how,
        "sample": row.sample,
        "begun_at": to_text(row.begun_at),
        "ended_at": to_text(row.ended_at),
        "checked": row.checked,
    }
