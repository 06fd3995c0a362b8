"""What catalog, inboxes and disk say when they are measured: at each scrape, never kept in step.

A scrape reads next to nothing: an archive of millions of rows is counted as quickly as an empty
one, but for its slots, which are counted the less often the longer that takes.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from archiver.catalog import CatalogReader, Tables
from archiver.catalog.counts import COUNTED_STATES
from archiver.catalog.deliveries import BACKUP
from archiver.errors import CatalogUnavailableError, InboxUnavailableError
from archiver.inbox.stores import InboxStore
from archiver.sqlite import VERSION, log_bytes
from archiver.work import JobKind

# What is costly to count may cost this part of the time.
_COSTLY_SHARE = 0.01

Gauges = Iterator[GaugeMetricFamily]


class CatalogGauges(Collector):
    """A collector for the metrics page; an unavailable catalog leaves its gauges out.

    `backup_every` is how often it is backed up; zero is never.
    """

    def __init__(
        self,
        catalog: CatalogReader,
        *,
        backup_every: timedelta,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._backup_every = backup_every
        self._now = now
        self._monotonic = monotonic
        self._slots: Mapping[str, int] = {}
        self._slots_due = 0.0

    def collect(self) -> Gauges:
        """The gauges as of now."""
        try:
            with self._catalog.view() as tables:
                measured = [*self._work(tables), *self._signs(tables), *_troubles(tables)]
        except CatalogUnavailableError:
            return
        yield from measured

    def _work(self, tables: Tables) -> Gauges:
        counts = tables.counts.jobs()
        jobs = GaugeMetricFamily(
            "holdfast_jobs", "Jobs that are not done with", labels=["kind", "state"]
        )
        for kind in JobKind:
            for state in COUNTED_STATES:
                jobs.add_metric([kind.value, state], counts.get((kind.value, state), 0))
        yield jobs
        yield _labelled(
            "holdfast_slots", "Expected pictures, by where they stand", "state", self._count(tables)
        )
        yield _labelled(
            "holdfast_generations_under_way",
            "Generations whose provider has not said how they ended",
            "provider",
            {name: it.count for name, it in tables.overview.under_way().items()},
        )
        first_loss_at = tables.jobs.first_loss_at(now=self._now())
        if first_loss_at is not None:
            yield GaugeMetricFamily(
                "holdfast_first_loss_timestamp_seconds",
                "When the first link dies that still waits to be fetched",
                value=first_loss_at.timestamp(),
            )

    def _count(self, tables: Tables) -> Mapping[str, int]:
        """The slots by state, counted no more often than their counting allows."""
        began = self._monotonic()
        if began >= self._slots_due:
            self._slots = tables.generations.count_slots_by_state()
            ended = self._monotonic()
            self._slots_due = ended + (ended - began) / _COSTLY_SHARE
        return self._slots

    def _signs(self, tables: Tables) -> Gauges:
        beats = {**tables.counts.beats()}
        backup, begun_at = beats.pop(BACKUP, None), tables.generations.begun_at()
        yield _labelled(
            "holdfast_heartbeat_timestamp_seconds",
            "When the role last wrote a sign of life into the catalog",
            "role",
            beats,
        )
        if backup is not None:
            yield GaugeMetricFamily(
                "holdfast_backup_timestamp_seconds", "When the last backup was taken", value=backup
            )
        since = begun_at.timestamp() if backup is None and begun_at else backup
        if self._backup_every and since is not None:
            yield GaugeMetricFamily(
                "holdfast_backup_due_timestamp_seconds",
                "When the next backup is due, as it is configured",
                value=since + self._backup_every.total_seconds(),
            )


class BacklogGauges(Collector):
    """A collector of what was heard and is not absorbed."""

    def __init__(self, catalog: CatalogReader, store: InboxStore) -> None:
        self._catalog = catalog
        self._store = store

    def collect(self) -> Gauges:
        """The gauge as of now, if catalog and inboxes can be read."""
        count = 0
        try:
            with self._catalog.view() as tables:
                for name in self._store.names():
                    with closing(self._store.reader(name)) as inbox:
                        reached = tables.deliveries.position(inbox.uuid)
                        count += max(inbox.last_position() - reached, 0)
        except (CatalogUnavailableError, InboxUnavailableError):
            return
        yield GaugeMetricFamily(
            "holdfast_backlog_deliveries", "Deliveries that are not absorbed yet", value=count
        )


class DiskGauges(Collector):
    """A collector of the room that is left, and of the write-ahead logs that may eat it.

    Webhooks are refused below `min_free_bytes`. `catalog` is None where it is in no file.
    """

    def __init__(self, catalog: Path | None, inboxes: Path, *, min_free_bytes: int) -> None:
        self._catalog = catalog
        self._inboxes = inboxes
        self._min_free_bytes = min_free_bytes

    def collect(self) -> Gauges:
        """The gauges as of now; a folder that cannot be looked at leaves them out."""
        try:
            databases = sorted(self._inboxes.glob("*.db"))
            if self._catalog is not None:
                databases.insert(0, self._catalog)
            # What was restored has a time in its name, and is never written again.
            written = [path for path in databases if path.stem.isidentifier()]
            logs = {path.stem: log_bytes(path) for path in written}
            free_bytes = shutil.disk_usage(self._inboxes).free
        except OSError:
            return
        yield _labelled("holdfast_wal_bytes", "Write-ahead log of a database", "database", logs)
        yield GaugeMetricFamily(
            "holdfast_disk_free_bytes", "Left on the disk of the inboxes", value=free_bytes
        )
        yield GaugeMetricFamily(
            "holdfast_disk_min_free_bytes",
            "Webhooks are refused while less is left (catalog.min_free_bytes)",
            value=self._min_free_bytes,
        )


class BuildInfo(Collector):
    """A collector of what runs: always 1, its labels say it."""

    def __init__(self, version: str) -> None:
        self._said = {
            "version": version,
            "python": platform.python_version(),
            "sqlite": VERSION,
        }

    def collect(self) -> Gauges:
        """The one gauge."""
        info = GaugeMetricFamily(
            "holdfast_build_info", "What runs; always 1", labels=list(self._said)
        )
        info.add_metric(list(self._said.values()), 1)
        yield info


def _troubles(tables: Tables) -> Gauges:
    yield GaugeMetricFamily(
        "holdfast_unparsed_deliveries",
        "Authentic deliveries that are not understood",
        value=tables.deliveries.count_unparsed(),
    )
    amiss = {"missing": 0, "damaged": 0, "unreadable": 0, **tables.fixity.count_amiss()}
    yield _labelled(
        "holdfast_objects_amiss", "Objects that an audit found amiss, by how", "outcome", amiss
    )


def _labelled(name: str, says: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, says, labels=[label])
    for value, amount in values.items():
        family.add_metric([value], amount)
    return family
