"""Filling a catalog in bulk comes to the same as keeping one generation after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver import sqlite
from archiver.catalog import Tables
from archiver.catalog.bulk import Bulk, Rows
from archiver.ledger import index_entries, keep
from archiver.models import Generation
from archiver.previews import Preview
from archiver.sqlite import Connection, open_reader
from tests.archiver.generated import histories, linked
from tests.archiver.heard import asset
from tests.clocks import NOON

TABLES = ("generations", "slots", "links", "assets", "cards", "card_values", "texts")


@contextmanager
def in_memory(migrated: Path) -> Iterator[Connection]:
    """An empty catalog of its own."""
    source = open_reader(migrated)
    connection = sqlite.sqlite3.connect(":memory:", isolation_level=None)
    source.backup(connection)
    source.close()
    try:
        yield connection
    finally:
        connection.close()


def rows_of(kept: list[Generation]) -> Rows:
    rows = Rows()
    for generation in kept:
        rows.add(generation, segmented_revision=0)
        rows.index(*index_entries(generation))
    return rows


def dumped(connection: Connection) -> dict[str, list[Any]]:
    """All that stands in the tables, and what the search index makes of the words."""
    found = {
        table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
        for table in TABLES
    }
    matching = "SELECT rowid FROM texts_fts WHERE texts_fts MATCH 'provider_doitong'"
    return {**found, "found": sorted(connection.execute(matching))}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(histories(), min_size=1, max_size=3))
def test_rows_are_those_that_the_ledger_writes(
    migrated: Path, known: list[list[Generation]]
) -> None:
    """Whatever became of the generations: every table, and the index over the words."""
    with in_memory(migrated) as one, in_memory(migrated) as other:
        tables = Tables(one)
        kept = [
            keep(tables, None, replace(history[-1], id=f"g{number}"), now=NOON)
            for number, history in enumerate(known)
        ]
        bulk = Bulk(other)
        bulk.begin()
        bulk.insert(rows_of(kept), now=NOON)
        bulk.end(now=NOON)
        assert dumped(other) == dumped(one)


def test_indexes_and_triggers_come_back(migrated: Path) -> None:
    """A catalog that was filled in bulk has all that an empty one has, and new rows are found."""
    with in_memory(migrated) as fresh, in_memory(migrated) as filled:
        names = "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2"
        bulk = Bulk(filled)
        bulk.begin()
        assert "trigger" not in {kind for kind, *_ in filled.execute(names)}
        bulk.end(now=NOON)
        assert filled.execute(names).fetchall() == fresh.execute(names).fetchall()
        keep(Tables(filled), None, linked("late", prompt="a fox"), now=NOON)
        assert dumped(filled)["found"] == [(1,)]


def test_what_was_derived_is_not_derived_again(migrated: Path) -> None:
    """The rest is planned, the newest first."""
    with in_memory(migrated) as connection:
        bulk, tables = Bulk(connection), Tables(connection)
        bulk.begin()
        rows = Rows()
        for number in (1, 2, 3):
            digest = bytes([number]) * 32
            slot = replace(
                linked("x").slots[0],
                number=number,
                assets=(replace(asset(), sha256=digest),),
            )
            known = replace(linked(f"g{number}"), key=number, slots=(slot,))
            rows.add(known, segmented_revision=0)
            rows.index(*index_entries(known))
        rows.preview(bytes([2]) * 32, Preview(phash=1, width=1, height=1))
        bulk.insert(rows, now=NOON)
        bulk.end(now=NOON)
        found = connection.execute("SELECT subject, target FROM jobs ORDER BY id").fetchall()
        assert found == [(3, "03" * 32), (1, "01" * 32)]
        assert tables.previews.of([bytes([2]) * 32]) != {}


def test_numbers_are_never_given_twice(migrated: Path) -> None:
    """Neither those of slots that are there nor those that are only known to have been."""
    with in_memory(migrated) as connection:
        bulk = Bulk(connection)
        assert (bulk.highest_number(), bulk.next_key()) == (0, 1)
        kept = keep(Tables(connection), None, linked("one"), now=NOON)
        assert (bulk.highest_number(), bulk.next_key()) == (1, 2)
        bulk.numbers_begin_beyond(70)
        bulk.numbers_begin_beyond(7)
        assert (bulk.next_number(), bulk.next_number()) == (71, 72)
        later = keep(Tables(connection), None, linked("two"), now=NOON)
        assert later.slots[0].number == 73
        assert bulk.taken([1, 2, 73]) == {1: kept.key, 73: later.key}
