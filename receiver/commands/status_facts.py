"""The facts that `holdfast status` shows, as plain values: how the archive stands at a moment."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from archiver.catalog import CatalogReader, Tables
from archiver.catalog.postgres_sizes import table_bytes
from archiver.catalog.renders import RENDERER
from archiver.inbox.lately import lately
from archiver.inbox.quarantine import Refused, refused
from archiver.models import SlotState
from archiver.moments import to_text
from archiver.sqlite import log_bytes
from receiver.commands.status_credit import credit
from receiver.commands.status_recovery import recovery
from receiver.hearing import DAY, by_source, labels_of, secret_use, silences
from receiver.settings import CatalogTable, Config
from receiver.stores import inboxes_of

# How many of each (kind, state).
Jobs = Mapping[tuple[str, str], int]

_SOON = timedelta(hours=1)
# Of the reasons why jobs were given up so many are told.
_MOST_REASONS = 10


def facts(archive: CatalogReader, config: Config, now: datetime) -> dict[str, Any]:
    """All of them; raises CatalogUnavailableError."""
    with archive.view() as tables:
        jobs = tables.counts.jobs()
        return {
            **_urgent(tables, now),
            **_counts(tables, jobs),
            **_heard(tables, config, now),
            "renderer": _renderer(tables, jobs, now),
            **credit(tables, config.providers, now),
            **recovery(tables, config.backup, now),
            **_sizes(tables, config.catalog),
        }


def _urgent(tables: Tables, now: datetime) -> dict[str, Any]:
    first_loss_at = tables.jobs.first_loss_at(now=now)
    dying = tables.overview.dying(now=now, until=now + _SOON)
    return {
        "first_loss_at": to_text(first_loss_at),
        "seconds_to_first_loss": seconds_until(first_loss_at, now),
        "links": {"dying_within_the_hour": dying.soon, "overdue": dying.overdue},
        "archive_beat_seconds_ago": _beat_seconds_ago(tables, "archive", now),
        "unparsed": tables.deliveries.count_unparsed(),
    }


def _counts(tables: Tables, jobs: Jobs) -> dict[str, Any]:
    overview = tables.overview
    generations = overview.generations()
    return {
        "slots": tables.generations.count_slots_by_state(),
        "generations": {f"{provider} {state}": n for (provider, state), n in generations.items()},
        "jobs": {f"{kind} {state}": n for (kind, state), n in jobs.items()},
        "holds": overview.reasons(SlotState.HELD),
        "losses": overview.reasons(SlotState.DEAD),
        "discarded": [asdict(one) for one in overview.discarded(limit=_MOST_REASONS)],
    }


def _heard(tables: Tables, config: Config, now: datetime) -> dict[str, Any]:
    folder, since = config.catalog.inbox_folder, now - DAY
    heard = lately(inboxes_of(config.catalog), since=since, reached=tables.deliveries.position)
    came = by_source(heard.found, tables.overview.unparsed_since(since))
    waited = {name: one.since for name, one in tables.overview.under_way().items()}
    return {
        "deliveries": {
            source: {
                "absorbed": one.absorbed,
                "unparsed": one.unparsed,
                "waiting": one.waiting,
                "last_seconds_ago": seconds_ago(one.last_at, now),
            }
            for source, one in came.items()
        },
        "backlog": heard.backlog,
        "deliveries_exact": heard.exact,
        "unreadable": list(heard.unreadable),
        "secrets": [
            {
                "provider": one.provider,
                "label": one.label,
                "configured": one.configured,
                "last_seconds_ago": seconds_ago(one.last_at, now),
            }
            for one in secret_use(heard.found, labels_of(config.providers))
        ],
        "silences": [asdict(one) for one in silences(heard.found, waited, now=now)],
        "refused": [_refused(one, now) for one in refused(folder / "quarantine.db")],
    }


def _renderer(tables: Tables, jobs: Jobs, now: datetime) -> dict[str, Any]:
    return {
        "beat_seconds_ago": _beat_seconds_ago(tables, RENDERER, now),
        "waiting": jobs.get((RENDERER, "available"), 0) + jobs.get((RENDERER, "scheduled"), 0),
        "drawing": jobs.get((RENDERER, "running"), 0),
        "not_drawn": dict(tables.renders.refusals()),
    }


def _refused(one: Refused, now: datetime) -> dict[str, Any]:
    return {
        "source": one.source,
        "reason": one.reason,
        "count": one.count,
        "last_seconds_ago": seconds_ago(one.last_at, now),
    }


def _sizes(tables: Tables, catalog: CatalogTable) -> dict[str, Any]:
    inboxes = sorted(catalog.inbox_folder.glob("*.db"))
    if catalog.is_on_server:
        index_bytes, inbox_bytes = table_bytes(tables.connection)
        logged = inboxes
    else:
        index_bytes, inbox_bytes = _file_bytes([catalog.path]), _file_bytes(inboxes)
        logged = [catalog.path, *inboxes]
    return {
        "sizes": {
            "pictures_bytes": tables.overview.stored_bytes(),
            "index_bytes": index_bytes,
            "inbox_bytes": inbox_bytes,
            "log_bytes": sum(map(log_bytes, logged)),
        },
        "disk": {
            "free_bytes": shutil.disk_usage(_there(catalog.folder)).free,
            "min_free_bytes": catalog.min_free_bytes,
        },
    }


def _there(folder: Path) -> Path:
    """The folder, or what is to hold it: whoever only looks at a server's catalog has none."""
    return next(it for it in (folder, *folder.parents) if it.exists())


def _file_bytes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.exists())


def _beat_seconds_ago(tables: Tables, role: str, now: datetime) -> float | None:
    return seconds_ago(tables.deliveries.last_beat_at(role), now)


def seconds_ago(moment: datetime | None, now: datetime) -> float | None:
    """How long ago it was, to a tenth of a second."""
    return round((now - moment).total_seconds(), 1) if moment else None


def seconds_until(moment: datetime | None, now: datetime) -> float | None:
    """How long it will be; less than nothing where it was."""
    return round((moment - now).total_seconds(), 1) if moment else None
