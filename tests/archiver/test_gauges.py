"""What the metrics page says of catalog, inboxes, disk, and of what runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.counts import COUNTED_STATES
from archiver.catalog.deliveries import BACKUP
from archiver.catalog.fixity import Checked, Fixity
from archiver.gauges import BacklogGauges, BuildInfo, CatalogGauges, DiskGauges
from archiver.inbox.sqlite import SqliteInbox, SqliteInboxReader
from archiver.ledger import keep
from archiver.lifecycle import archive
from archiver.sqlite import VERSION, log_bytes, open_writer
from archiver.work import JobKind
from tests.archiver.catalog.test_deliveries import DELIVERY
from tests.archiver.generated import URL_DIES_AT, linked
from tests.archiver.heard import asset
from tests.clocks import FrozenClock
from tests.contracts.inbox import WEBHOOK
from tests.inboxes import inboxes_in

BACKUP_EVERY = timedelta(hours=24)


class Stopwatch:
    """A monotonic clock by which each look takes as long as it is told."""

    def __init__(self) -> None:
        self.at = 0.0
        self.each_seconds = 0.0

    def __call__(self) -> float:
        self.at += self.each_seconds
        return self.at


def gauges(
    reader: CatalogReader,
    clock: FrozenClock,
    *,
    backup_every: timedelta = BACKUP_EVERY,
    stopwatch: Stopwatch | None = None,
) -> CatalogGauges:
    """The collector."""
    monotonic = stopwatch or Stopwatch()
    return CatalogGauges(reader, backup_every=backup_every, now=clock, monotonic=monotonic)


def measured(*collectors: Collector) -> dict[tuple[str, ...], float]:
    """Every sample by its name and labels' values, but for jobs of which there are none."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return {
        (sample.name.removeprefix("holdfast_"), *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.value or sample.name != "holdfast_jobs"
    }


NOTHING = {
    ("unparsed_deliveries",): 0,
    ("objects_amiss", "missing"): 0,
    ("objects_amiss", "damaged"): 0,
    ("objects_amiss", "unreadable"): 0,
}


async def test_the_catalog_is_measured_at_each_scrape(
    catalog: Catalog, reader: CatalogReader, clock: FrozenClock
) -> None:
    """Jobs that are not done with, slots, what was not understood or is amiss, the next loss."""

    def fill(tables: Tables) -> None:
        keep(tables, None, linked("1"), now=clock())
        kept = keep(tables, None, linked("2"), now=clock())
        keep(tables, kept, archive(kept, 0, asset()), now=clock())
        tables.deliveries.unparsed(DELIVERY, "not JSON")
        found = {"sha256": asset().sha256, "how": "head", "checked_at": clock()}
        tables.fixity.put([Checked(outcome=Fixity.MISSING, **found)])

    assert measured(gauges(reader, clock)) == NOTHING
    begun_at = clock()
    await catalog.write(fill)
    clock.advance(hours=1)
    found = measured(gauges(reader, clock))
    assert found == {
        ("jobs", "fetch", "available"): 1,
        ("jobs", "seal", "available"): 1,
        ("jobs", "derive", "available"): 1,
        ("slots", "archived"): 1,
        ("slots", "linked"): 1,
        ("first_loss_timestamp_seconds",): URL_DIES_AT.timestamp(),
        ("backup_due_timestamp_seconds",): (begun_at + BACKUP_EVERY).timestamp(),
        **NOTHING,
        ("unparsed_deliveries",): 1,
        ("objects_amiss", "missing"): 1,
    }


def test_a_rise_is_seen_of_every_job_that_may_be_amiss(
    reader: CatalogReader, clock: FrozenClock
) -> None:
    """Each kind and state is told before there is any of it; what is done with never is."""
    (jobs,) = (it for it in gauges(reader, clock).collect() if it.name == "holdfast_jobs")
    told = {(it.labels["kind"], it.labels["state"]): it.value for it in jobs.samples}
    assert told == {(kind.value, state): 0 for kind in JobKind for state in COUNTED_STATES}
    assert {"completed", "cancelled"}.isdisjoint(COUNTED_STATES)


async def test_signs_of_life_and_backups_are_told_as_moments(
    catalog: Catalog, reader: CatalogReader, clock: FrozenClock
) -> None:
    """Who beat when; when the last backup was, and when the next is due, if ever any is."""

    def beat(tables: Tables) -> None:
        tables.deliveries.beat("archive", now=clock())
        tables.deliveries.beat(BACKUP, now=clock())

    await catalog.write(beat)
    at = clock().timestamp()
    told = {("heartbeat_timestamp_seconds", "archive"): at, ("backup_timestamp_seconds",): at}
    due = {("backup_due_timestamp_seconds",): at + BACKUP_EVERY.total_seconds()}
    assert measured(gauges(reader, clock)) == {**NOTHING, **told, **due}
    assert measured(gauges(reader, clock, backup_every=timedelta())) == {**NOTHING, **told}


async def test_slots_are_counted_the_less_often_the_longer_it_takes(
    catalog: Catalog, reader: CatalogReader, clock: FrozenClock
) -> None:
    """A hundredth of the time at most; where it takes no time, at each scrape."""
    stopwatch = Stopwatch()
    collector = gauges(reader, clock, stopwatch=stopwatch)

    async def linked_after(name: str) -> float | None:
        await catalog.write(lambda tables: keep(tables, None, linked(name), now=clock()))
        return measured(collector).get(("slots", "linked"))

    assert [await linked_after("1"), await linked_after("2")] == [1, 2]
    stopwatch.each_seconds = 1.0
    assert await linked_after("3") == 3
    assert await linked_after("4") == 3
    stopwatch.at += 97
    assert await linked_after("5") == 3
    stopwatch.at += 1
    assert await linked_after("6") == 6


def test_an_unavailable_catalog_leaves_its_gauges_out(tmp_path: Path, clock: FrozenClock) -> None:
    """The metrics page answers all the same."""
    missing = CatalogReader(tmp_path / "missing.db")
    assert measured(gauges(missing, clock), BacklogGauges(missing, inboxes_in(tmp_path))) == {}


async def test_the_backlog_is_what_lies_beyond_the_positions_reached(
    catalog: Catalog, reader: CatalogReader, tmp_path: Path
) -> None:
    """Of all inboxes together, however much was absorbed; the quarantine is none of them."""
    folder = tmp_path / "inbox"
    backlog = BacklogGauges(reader, inboxes_in(folder))
    assert measured(backlog) == {("backlog_deliveries",): 0}
    for name, count in (("receive", 3), ("web", 1)):
        inbox = SqliteInbox(folder / f"{name}.db")
        await inbox.start()
        for number in range(count):
            await inbox.append(replace(WEBHOOK, body=b"%d" % number))
        await inbox.close()
    open_writer(folder / "quarantine.db").close()
    assert measured(backlog) == {("backlog_deliveries",): 4}
    heard = SqliteInboxReader(folder / "receive.db")
    await catalog.write(lambda tables: tables.deliveries.advance(heard.uuid, 2))
    heard.close()
    assert measured(backlog) == {("backlog_deliveries",): 2}


def test_the_disk_is_measured_at_each_scrape(tmp_path: Path) -> None:
    """The room that is left, and the length of each database's log; nothing of it must be there,
    and a restored inbox, which is never written, has no log."""
    inboxes = tmp_path / "inbox"
    disk = DiskGauges(tmp_path / "catalog.db", inboxes, min_free_bytes=77)
    assert measured(disk) == {}
    inbox = open_writer(inboxes / "receive.db")
    inbox.execute("CREATE TABLE things (name TEXT) STRICT")
    (inboxes / "receive.20261121T221000Z.db").touch()
    found = measured(disk)
    assert found.pop(("disk_free_bytes",)) > 0
    assert found == {
        ("wal_bytes", "catalog"): 0,
        ("wal_bytes", "receive"): log_bytes(inboxes / "receive.db"),
        ("disk_min_free_bytes",): 77,
    }
    assert found["wal_bytes", "receive"] > 0
    inbox.close()


def test_what_runs_is_told_by_labels() -> None:
    """Its version, and those of Python and SQLite, by which faults are told apart."""
    ((name, version, _, sqlite), value), *rest = measured(BuildInfo("1.2")).items()
    assert (name, version, sqlite, value, rest) == ("build_info", "1.2", VERSION, 1, [])


@pytest.mark.parametrize("state", ["available", "scheduled", "running", "held", "discarded"])
async def test_no_count_reads_what_is_done(reader: CatalogReader, state: str) -> None:
    """Whatever a scrape asks of the queue, an index answers that holds nothing else."""
    asked: list[str] = []
    with reader.view() as tables:
        tables.connection.set_trace_callback(asked.append)
        tables.counts.jobs()
        tables.jobs.first_loss_at(now=datetime(2026, 1, 1, tzinfo=UTC))
        tables.overview.under_way()
        tables.counts.beats()
        tables.connection.set_trace_callback(None)
        plans = [
            row[3]
            for statement in asked
            for row in tables.connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
    of_jobs = [plan for plan in plans if "jobs" in plan]
    assert of_jobs
    index = {"held": "amiss", "discarded": "amiss"}.get(state, state)
    assert any(f"jobs_{index}" in plan for plan in of_jobs)
    assert [plan for plan in of_jobs if "USING" not in plan] == []
    assert [plan for plan in plans if "generations" in plan and "INDEX" not in plan] == []
