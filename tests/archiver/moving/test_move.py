"""An archive is the same after it was moved: row by row, and for whoever uses it."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from archiver import sqlite
from archiver.catalog import Catalog
from archiver.inbox import Recorded, is_the_one
from archiver.inbox.postgres import PostgresInbox
from archiver.inbox.postgres_store import PostgresInboxStore
from archiver.inbox.sqlite import SqliteInboxReader
from archiver.moments import from_millis
from archiver.moving.move import State
from archiver.moving.tables import TABLES
from archiver.postgres import opened
from archiver.work import JobKind
from tests.archiver.filled import Archive
from tests.archiver.moving.outgrown import (
    NODE,
    answers,
    both,
    bytes_of,
    drawn_text,
    hear,
    moved,
    rows_here,
    rows_there,
    said,
)
from tests.clocks import NOON

EVERYTHING = 10**6


def asked(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Straight from the database."""
    with closing(psycopg.connect(url)) as connection:
        return connection.execute(sql.encode()).fetchall()


def test_every_table_is_moved(folder: Path, url: str) -> None:
    """No table of either side is forgotten, nor a key or a column that is unique."""
    moved(folder, url)
    named = {table.name: table for table in TABLES}
    internal = ("sqlite_", "_sqlite_", "texts_fts")
    with closing(sqlite.open_reader(folder / "catalog.db")) as connection:
        found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        here = {name for (name,) in found if not name.startswith(internal)}
    own = {"migrations", "text_totals", "inbox_steps", "moving"}
    inboxes = {"inboxes", "deliveries", "deliveries_twice"}
    there = {
        name
        for (name,) in asked(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    }

    assert here == set(named) == there - own - inboxes
    unique = asked(
        url,
        "SELECT conrelid::regclass::text, contype::text, array(SELECT attname::text FROM"
        " unnest(conkey) WITH ORDINALITY AS k (num, at) JOIN pg_attribute ON attrelid = conrelid"
        " AND attnum = num ORDER BY at) FROM pg_constraint WHERE contype IN ('p', 'u')",
    )
    keys = {(name, tuple(columns)) for name, kind, columns in unique if kind == "p"}
    others = {(name, tuple(columns)) for name, kind, columns in unique if kind == "u"}
    assert {(table.name, table.key) for table in TABLES} == {it for it in keys if it[0] in named}
    assert {(table.name, table.unique) for table in TABLES if table.unique} == {
        it for it in others if it[0] in named
    }


def test_every_row_is_the_same(folder: Path, url: str) -> None:
    """By value, and every table has some."""
    assert moved(folder, url).state is State.MOVED
    for table in TABLES:
        rows = rows_here(folder, table.name)
        assert rows, table
        assert rows_there(folder, url, table.name) == rows, table


def test_nothing_is_written_to_the_files(folder: Path, url: str) -> None:
    """Byte for byte."""
    before = bytes_of(folder)
    moved(folder, url, alone=False)
    moved(folder, url)
    assert bytes_of(folder) == before


def test_search_answers_the_same(folder: Path, url: str) -> None:
    """The cards, their order, and how many there are."""
    moved(folder, url)
    with both(folder, url) as (here, there):
        told = answers(here)
        assert answers(there) == told
    assert sum(pages != ["[]"] for _, pages, _ in told) > 10


def test_generations_are_the_same(folder: Path, url: str) -> None:
    """As the tables' own room reads them, but for U+0000, which PostgreSQL cannot hold."""
    moved(folder, url)
    with both(folder, url) as (here, there):
        for n in range(40):
            one = here.generations.load("doitong", f"g{n}")
            other = there.generations.load("doitong", f"g{n}")
            assert one is not None
            assert drawn_text(other) == drawn_text(one)


async def test_the_catalog_goes_on(folder: Path, url: str) -> None:
    """Jobs are claimed in the same order; numbers go on beyond all that were ever given."""
    with closing(sqlite.open_writer(folder / "catalog.db")) as connection:
        connection.execute("UPDATE sqlite_sequence SET seq = 5000 WHERE name = 'slots'")
    moved(folder, url)
    with both(folder, url) as (here, _):
        waiting = here.jobs.count()

    def claim(tables: Any) -> list[int]:
        jobs = tables.jobs.claim(
            JobKind.FETCH, worker="w", limit=EVERYTHING, lease_seconds=9, now=NOON
        )
        return [job.subject for job in jobs]

    claimed = []
    for where in (folder / "catalog.db", url):
        catalog = Catalog(where, leads=True)
        await catalog.start()
        claimed.append(await catalog.write(claim))
        if where == url:
            number = await Archive(catalog, None).hear("new", "a new fox")
        await catalog.close()
    assert claimed[0] == claimed[1] != []
    assert waiting
    assert number == 5001
    [(key,)] = asked(url, "SELECT key FROM generations WHERE id = 'new'")
    assert key == 41


def test_what_refers_is_checked_again(folder: Path, url: str) -> None:
    """As in a database that was made for a catalog, with its trigger."""
    moved(folder, url)
    assert asked(url, "SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == [(7,)]
    assert asked(url, "SELECT tgenabled::text FROM pg_trigger WHERE tgname = 'slots_counted'") == [
        ("O",)
    ]


def test_inboxes_keep_names_positions_and_bytes(folder: Path, url: str) -> None:
    """Also of what came to two of them."""
    moved(folder, url)
    store = PostgresInboxStore(url, NODE)
    names = ["receive.20261120T000000Z", "receive", "web"]
    assert store.names() == [f"{name}@a" for name in names]
    for name in names:
        with (
            closing(SqliteInboxReader(folder / "inbox" / f"{name}.db")) as here,
            closing(store.reader(f"{name}@a")) as there,
        ):
            assert there.uuid == here.uuid
            assert here.last_position() == there.last_position()
            assert there.after(0, limit=EVERYTHING) == here.after(0, limit=EVERYTHING)
            last = here.get(here.last_position())
            assert last is not None
            assert is_the_one(there, last.ref.position, from_millis(0)) is False
            assert is_the_one(there, last.ref.position, last.received_at)


async def test_what_was_heard_is_a_duplicate_there(folder: Path, url: str) -> None:
    """Whichever inbox had it; and what is new has the next position."""
    moved(folder, url)
    inbox = PostgresInbox(url, "receive@a")
    await inbox.start()
    outcomes = [await inbox.append(said(n)) for n in (1, 10**6, 5)]
    assert outcomes == [Recorded.DUPLICATE] * 3
    assert await inbox.append(said(77_777)) is Recorded.STORED
    await inbox.prune(1, EVERYTHING)
    await inbox.close()
    with closing(PostgresInboxStore(url, NODE).reader("receive@a")) as reader:
        assert reader.last_position() == 9 + 40 + 1
        assert not reader.has_bodies(1, EVERYTHING)


async def test_bodies_of_what_two_have_can_be_taken_out(folder: Path, url: str) -> None:
    """Forgetting finds them, whichever table they lie in."""
    moved(folder, url)
    assert asked(url, "SELECT count(*) FROM deliveries_twice") == [(2,)]
    inbox = PostgresInbox(url, "receive@a")
    await inbox.start()
    await inbox.prune(1, EVERYTHING)
    await inbox.close()
    assert asked(url, "SELECT count(body) FROM deliveries_twice") == [(0,)]


async def test_what_is_pruned_and_proved_meanwhile_is_copied(folder: Path, url: str) -> None:
    """Of an inbox rows are changed, too."""
    moved(folder, url, alone=False)
    with closing(sqlite.open_writer(folder / "inbox" / "receive.db")) as connection:
        connection.execute("UPDATE deliveries SET body = NULL, headers = NULL WHERE position = 3")
        connection.execute("UPDATE inbox SET proved_at = 77")
    await hear(folder, "receive", said(88_888))
    run = await asyncio.to_thread(moved, folder, url)
    assert {tally.table: tally.changed for tally in run.written if tally.changed} == {
        "inboxes": 1,
        "deliveries receive@a": 2,
    }
    with opened(url) as connection:
        rows = connection.execute("SELECT count(*) FROM deliveries WHERE body IS NULL").fetchall()
    assert rows == [(1,)]
