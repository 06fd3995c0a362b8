"""What the metrics page says of the catalog."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.gauges import CatalogGauges, DiskGauges
from archiver.ledger import keep
from archiver.lifecycle import archive
from archiver.sqlite import log_bytes, open_writer
from tests.archiver.catalog.test_deliveries import DELIVERY
from tests.archiver.generated import URL_DIES_AT, linked
from tests.archiver.heard import asset
from tests.clocks import FrozenClock


def measured(reader: CatalogReader, clock: FrozenClock) -> dict[tuple[str, ...], float]:
    """Every sample by its name and labels' values."""
    registry = CollectorRegistry()
    registry.register(CatalogGauges(reader, now=clock))
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


async def test_the_catalog_is_counted_at_each_scrape(
    catalog: Catalog, reader: CatalogReader, clock: FrozenClock
) -> None:
    """Jobs, slots, what was not understood, and the seconds until the next loss."""

    def fill(tables: Tables) -> None:
        keep(tables, None, linked("1"), now=clock())
        kept = keep(tables, None, linked("2"), now=clock())
        keep(tables, kept, archive(kept, 0, asset()), now=clock())
        tables.deliveries.unparsed(DELIVERY, "not JSON")

    assert measured(reader, clock) == {("holdfast_unparsed",): 0}
    await catalog.write(fill)
    clock.advance(hours=1)
    assert measured(reader, clock) == {
        ("holdfast_jobs", "fetch", "available"): 1,
        ("holdfast_jobs", "fetch", "cancelled"): 1,
        ("holdfast_jobs", "seal", "available"): 1,
        ("holdfast_jobs", "derive", "available"): 1,
        ("holdfast_slots", "archived"): 1,
        ("holdfast_slots", "linked"): 1,
        ("holdfast_unparsed",): 1,
        ("holdfast_seconds_to_first_loss",): (URL_DIES_AT - clock()).total_seconds(),
    }
    clock.advance(hours=9)
    lost_for = timedelta(hours=5).total_seconds()
    assert measured(reader, clock)["holdfast_seconds_to_first_loss",] == -lost_for


def test_an_unavailable_catalog_leaves_its_gauges_out(tmp_path: Path, clock: FrozenClock) -> None:
    """The metrics page answers all the same."""
    assert measured(CatalogReader(tmp_path / "missing.db"), clock) == {}


def test_the_disk_is_measured_at_each_scrape(tmp_path: Path) -> None:
    """The room that is left, and the length of each database's log; nothing of it must be there."""
    inboxes = tmp_path / "inbox"
    registry = CollectorRegistry()
    registry.register(DiskGauges(tmp_path / "catalog.db", inboxes))
    assert list(registry.collect()) == []
    inbox = open_writer(inboxes / "receive.db")
    inbox.execute("CREATE TABLE things (name TEXT) STRICT")

    def length(database: str) -> float | None:
        return registry.get_sample_value("holdfast_log_bytes", {"database": database})

    assert length("receive") == log_bytes(inboxes / "receive.db") > 0
    assert length("catalog") == 0
    free_bytes = registry.get_sample_value("holdfast_disk_free_bytes")
    assert free_bytes is not None
    assert free_bytes > 0
    inbox.close()
