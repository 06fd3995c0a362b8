"""What catalog and disk say when they are measured: at each scrape, never kept in step."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from archiver.catalog import CatalogReader
from archiver.errors import CatalogUnavailableError
from archiver.sqlite import log_bytes


class CatalogGauges(Collector):
    """A collector for the metrics page; an unavailable catalog leaves its gauges out."""

    def __init__(self, catalog: CatalogReader, *, now: Callable[[], datetime]) -> None:
        self._catalog = catalog
        self._now = now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as of now."""
        now = self._now()
        try:
            with self._catalog.view() as tables:
                jobs = tables.jobs.count()
                slots = tables.generations.count_slots_by_state()
                unparsed = tables.deliveries.count_unparsed()
                first_loss_at = tables.jobs.first_loss_at(now=now)
        except CatalogUnavailableError:
            return
        by_job = GaugeMetricFamily("holdfast_jobs", "Jobs", labels=["kind", "state"])
        for (kind, state), count in jobs.items():
            by_job.add_metric([kind, state], count)
        yield by_job
        by_slot = GaugeMetricFamily("holdfast_slots", "Slots", labels=["state"])
        for state, count in slots.items():
            by_slot.add_metric([state], count)
        yield by_slot
        yield GaugeMetricFamily("holdfast_unparsed", "Deliveries not understood", value=unparsed)
        if first_loss_at is not None:
            seconds = (first_loss_at - now).total_seconds()
            yield GaugeMetricFamily(
                "holdfast_seconds_to_first_loss",
                "Until the first link dies that still waits to be fetched",
                value=seconds,
            )


class DiskGauges(Collector):
    """A collector of the room that is left, and of the write-ahead logs that may eat it."""

    def __init__(self, catalog: Path, inboxes: Path) -> None:
        self._catalog = catalog
        self._inboxes = inboxes

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as of now; a folder that cannot be looked at leaves them out."""
        logs = GaugeMetricFamily(
            "holdfast_log_bytes", "Write-ahead log of a database", labels=["database"]
        )
        try:
            for path in (self._catalog, *sorted(self._inboxes.glob("*.db"))):
                logs.add_metric([path.stem], log_bytes(path))
            free_bytes = shutil.disk_usage(self._inboxes).free
        except OSError:
            return
        yield logs
        yield GaugeMetricFamily(
            "holdfast_disk_free_bytes", "Left on the disk of the inboxes", value=free_bytes
        )
