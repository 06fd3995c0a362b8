"""A move in many runs: beside a service, killed, refused, and typed once too often."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from archiver import sqlite
from archiver.catalog import Catalog, Tables
from archiver.catalog.postgres_migrations import migrate
from archiver.errors import CatalogUnavailableError, InboxUnavailableError, MoveError
from archiver.inbox.postgres import PostgresInbox
from archiver.moving import catalog as catalog_room
from archiver.moving import portions
from archiver.moving.catalog import TablePair
from archiver.moving.move import Moved, State
from archiver.moving.tables import TABLES
from archiver.moving.walking import Difference
from tests.archiver.moving.outgrown import (
    bytes_of,
    change,
    hear,
    moved,
    moving,
    rows_here,
    rows_there,
    said,
)
from tests.clocks import NOON


def assert_same(folder: Path, url: str) -> None:
    """All tables of the catalog, row by row."""
    for table in TABLES:
        assert rows_there(folder, url, table.name) == rows_here(folder, table.name), table.name


def run_sql(url: str, sql: str) -> None:
    """Behind everybody's back."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute(sql.encode())


def written(run: Moved) -> dict[str, int]:
    return {tally.table: tally.changed for tally in run.written if tally.changed}


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A portion ends after three."""
    monkeypatch.setattr(portions, "_MOST_ROWS", 3)


def test_a_second_run_writes_nothing(folder: Path, url: str) -> None:
    """Beside a service that does nothing."""
    first = moved(folder, url, alone=False)
    assert (first.state, first.differing) == (State.COPIED, [])
    assert sum(written(first).values()) == sum(tally.rows for tally in first.written)
    last = moved(folder, url)
    assert (last.state, written(last)) == (State.MOVED, {})


@pytest.mark.usefixtures("few_rows")
async def test_what_has_changed_since_is_copied(folder: Path, url: str) -> None:
    """Rows changed, new, gone, and such as took another's place."""
    await asyncio.to_thread(moved, folder, url, alone=False)

    def work(tables: Tables) -> None:
        execute = tables.connection.execute
        execute("UPDATE generations SET state = 'lost', cost = 1e-300 WHERE key IN (2, 40)")
        execute("UPDATE texts SET prompt = 'another word' WHERE number = 3")
        execute("DELETE FROM jobs WHERE subject IN (1, 9)")
        # Each job becomes another's: no two rows can be written one after the other.
        execute("UPDATE jobs SET subject = -subject - 1")
        execute("UPDATE jobs SET subject = 50 + subject")
        execute("DELETE FROM heartbeats")
        execute("INSERT INTO heartbeats VALUES ('a', 1), ('b', 2)")
        execute("UPDATE fixity SET sha256 = x'00'")
        execute("INSERT INTO card_values VALUES ('steps', 20), ('steps', 20.5)")

    await change(folder, work)
    before = bytes_of(folder)
    run = await asyncio.to_thread(moved, folder, url)
    assert run.state is State.MOVED
    assert {"generations": 2, "texts": 1}.items() <= written(run).items()
    assert_same(folder, url)
    assert bytes_of(folder) == before


@pytest.mark.usefixtures("few_rows")
async def test_what_comes_while_it_copies_is_not_missed(folder: Path, url: str) -> None:
    """Behind the place that it has reached, as rows that refer to what was not there then."""
    changes = iter(range(10**6))

    def change_something(what: str, total: int, rows: int) -> None:
        n = next(changes)
        with closing(sqlite.open_writer(folder / "catalog.db")) as connection:
            connection.execute("BEGIN")
            connection.execute(
                "INSERT INTO generations (provider, id, state, params, moderated, first_heard_at,"
                " revision, sealed_revision) VALUES ('doitong', ?, 'lost', '{}', 0, 0, 1, 0)",
                (f"late{n}",),
            )
            connection.execute(
                "INSERT INTO slots (generation, slot_index, state, reason)"
                " SELECT max(key), 0, 'dead', '' FROM generations"
            )
            connection.execute("DELETE FROM observations WHERE generation = ?", (n,))
            connection.execute("UPDATE jobs SET attempts = attempts + 1 WHERE id = ?", (n % 40,))
            connection.execute("COMMIT")

    given = moving(folder, url, progress=change_something)
    run = await asyncio.to_thread(given.run, alone=True)
    assert run.state is State.COPIED
    assert {"generations", "slots", "jobs"} & {tally.table for tally in run.differing}
    assert (await asyncio.to_thread(moved, folder, url)).state is State.MOVED
    assert_same(folder, url)


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("portion", [1, 7, 20, 60, 110, 140])
def test_a_run_that_was_killed_is_gone_on_with(folder: Path, url: str, portion: int) -> None:
    """Wherever it was, as nothing in it is caught."""
    child = multiprocessing.get_context("fork").Process(target=_die, args=(folder, url, portion))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    run = moved(folder, url)
    assert run.state is State.MOVED
    assert sum(written(run).values()) < sum(tally.rows for tally in run.written)
    assert_same(folder, url)


def _die(folder: Path, url: str, portion: int) -> None:
    left = iter(range(portion - 1))

    def told(what: str, total: int, rows: int) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    moving(folder, url, progress=told).run(alone=True)


def test_a_row_that_differs_is_named(
    folder: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the archive is not handed over."""
    put = TablePair.put

    def put_wrongly(pair: TablePair, gone: Any, rows: Any) -> None:
        put(pair, gone, rows)
        if pair.name == "generations":
            run_sql(url, "UPDATE generations SET cost = cost + 1e-9 WHERE key = 3")
            run_sql(url, "DELETE FROM generations WHERE key = 5")

    monkeypatch.setattr(catalog_room.TablePair, "put", put_wrongly)
    run = moved(folder, url)
    assert run.state is State.DIFFERS
    assert [it for tally in run.differing for it in tally.named] == [
        Difference(table="generations", key=(3,), says="differs"),
        Difference(table="generations", key=(5,), says="is missing on the server"),
    ]
    monkeypatch.undo()
    assert moved(folder, url).state is State.MOVED


@pytest.mark.parametrize("column", ["headers", "body", "peer"])
def test_a_delivery_that_differs_is_found(folder: Path, url: str, column: str) -> None:
    """Though what is large is compared by digests."""
    moved(folder, url, alone=False)
    run_sql(url, f"UPDATE deliveries SET {column} = {column} || 'x' WHERE position = 2")
    [tally, *_] = moved(folder, url, alone=False).written[-3:]
    assert (tally.table, tally.changed) == ("deliveries receive.20261120T000000Z@a", 1)


async def test_nobody_uses_it_before_all_is_there(folder: Path, url: str) -> None:
    """No archive role leads, none helps, no inbox is taken; afterwards all of that."""
    await asyncio.to_thread(moved, folder, url, alone=False)
    inbox = PostgresInbox(url, "receive@a")
    for leads in (True, False):
        with pytest.raises(CatalogUnavailableError, match="still being moved"):
            await Catalog(url, leads=leads).start()
    with pytest.raises(InboxUnavailableError, match="still being moved"):
        await inbox.start()
    await asyncio.to_thread(moved, folder, url)
    catalog, inbox = Catalog(url, leads=True), PostgresInbox(url, "receive@a")
    await catalog.start()
    await inbox.start()
    await inbox.close()
    await catalog.close()


async def test_a_database_in_use_is_refused(folder: Path, url: str) -> None:
    """By an archive role, by an inbox that is empty yet."""
    migrate(url)
    catalog = Catalog(url, leads=True)
    await catalog.start()
    with pytest.raises(MoveError, match="a service works in that database"):
        await asyncio.to_thread(moved, folder, url)
    await catalog.close()
    inbox = PostgresInbox(url, "receive@elsewhere")
    await inbox.start()
    with pytest.raises(MoveError, match="a service uses that database"):
        await asyncio.to_thread(moved, folder, url)
    await inbox.close()
    assert (await asyncio.to_thread(moved, folder, url)).state is State.MOVED


async def test_another_archive_is_refused(folder: Path, url: str) -> None:
    """One that heard something there, and one that is moved there."""
    inbox = PostgresInbox(url, "receive@a")
    await inbox.start()
    await inbox.append(said(1))
    await inbox.close()
    with pytest.raises(MoveError, match="holds another archive"):
        await asyncio.to_thread(moved, folder, url)


def test_another_archive_that_is_being_moved_is_refused(folder: Path, url: str) -> None:
    """By its name, even if nothing of it was copied."""
    moved(folder, url, alone=False)
    with closing(sqlite.open_writer(folder / "catalog.db")) as connection:
        connection.execute("UPDATE _sqlite_migrations SET applied_at = 'another time'")
    with pytest.raises(MoveError, match="holds another archive"):
        moved(folder, url)


def test_a_database_that_cannot_hold_all_text_is_refused(folder: Path, url: str) -> None:
    """And says how to make one that can."""
    name = "latin"
    run_sql(url, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    other = f"postgresql:///{name}?{url.partition('?')[2]}"
    with pytest.raises(MoveError, match="createdb --encoding UTF8"):
        moved(folder, other)


def test_an_archive_of_another_version_is_refused(folder: Path, url: str) -> None:
    """It has to be migrated first, and not by us."""
    with closing(sqlite.open_writer(folder / "catalog.db")) as connection:
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = '013_overview'")
    with pytest.raises(MoveError, match="another version"):
        moved(folder, url)


def test_files_that_are_not_there_or_not_whole_are_refused(folder: Path, url: str) -> None:
    """Before the server is asked anything."""
    (folder / "inbox" / "receive.db").write_bytes(b"no database, but long enough" * 99)
    with pytest.raises(MoveError, match="cannot be read"):
        moved(folder, url)
    with pytest.raises(MoveError, match="no archive to move"):
        moved(folder / "elsewhere", url)


async def test_typed_again_it_says_whether_the_files_have_gone_on(folder: Path, url: str) -> None:
    """And changes nothing of what the server's service has done since."""
    await asyncio.to_thread(moved, folder, url)
    catalog = Catalog(url, leads=True)
    await catalog.start()
    await catalog.write(lambda tables: tables.deliveries.beat("archive", now=NOON))
    await catalog.close()
    assert (await asyncio.to_thread(moved, folder, url)).state is State.MOVED_BEFORE
    assert ("archive" in {role for role, _ in rows_there(folder, url, "heartbeats")}) is True
    await hear(folder, "receive", said(99_999))
    assert (await asyncio.to_thread(moved, folder, url)).state is State.GONE_ON


def test_what_is_planned_changes_nothing(folder: Path, url: str) -> None:
    """And tells how many rows there are."""
    before = moving(folder, url).plan()
    assert (before.begun, before.finished_at, before.rows["generations"]) == (False, None, 40)
    with closing(psycopg.connect(url)) as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall() == [(0,)]
    moved(folder, url)
    assert moving(folder, url).plan() == replace(before, begun=True, finished_at=NOON)
