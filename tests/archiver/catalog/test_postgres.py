"""The catalog on PostgreSQL: what its file promises elsewhere, a server keeps among many hosts."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from archiver import clock
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.cards import PUT_VALUE
from archiver.catalog.postgres_migrations import STEPS, migrate, steps_done
from archiver.catalog.postgres_store import _LEADER_LOCK
from archiver.catalog.stores import store_of
from archiver.errors import CatalogUnavailableError, ConfigError, LedElsewhereError
from archiver.moments import from_millis
from archiver.postgres import Error, connect, is_data_fault, opened
from archiver.work import Job, JobKind, WantedJob
from archiver.worker import LEASE_SECONDS, Bench, Settle, Worker
from tests.archiver.catalog.scratch import scratch_on
from tests.archiver.generated import linked
from tests.archiver.postgres_server import PostgresServer, running
from tests.archiver.stories import broken_promises_in
from tests.clocks import NOON, FrozenClock

SEAL = WantedJob(kind=JobKind.SEAL, subject=1, target="1")


@pytest.fixture
async def catalog(catalog_url: str) -> AsyncIterator[Catalog]:
    """A writer at work."""
    catalog = Catalog(catalog_url)
    await catalog.start()
    yield catalog
    await catalog.close()


@pytest.fixture
def reader(catalog_url: str) -> Iterator[CatalogReader]:
    """Readers of the same catalog."""
    with closing(CatalogReader(catalog_url)) as reader:
        yield reader


def beat(role: str) -> Callable[[Tables], str]:
    """A write that leaves a trace."""

    def work(tables: Tables) -> str:
        tables.deliveries.beat(role, now=NOON)
        return role

    return work


def roles(tables: Tables) -> list[str]:
    """The traces."""
    rows = tables.connection.execute("SELECT role FROM heartbeats ORDER BY role")
    return [role for (role,) in rows]


def twice(tables: Tables) -> str:
    """A write that leaves a trace and then breaks a law of the table."""
    beat("never")(tables)
    tables.connection.execute("INSERT INTO heartbeats VALUES ('twice', 1), ('twice', 2)")
    return "never"


def raise_key_error(tables: Tables) -> str:
    """A write that leaves a trace and then meets a bug."""
    beat("never")(tables)
    raise KeyError


def count(tables: Tables) -> str:
    """One more than was read before, as whoever changes a generation reads and writes it."""
    rows = tables.connection.execute("SELECT beat_at FROM heartbeats WHERE role = 'count'")
    (before,) = rows.fetchone() or (0,)
    tables.connection.execute(
        "INSERT INTO heartbeats VALUES ('count', ?) ON CONFLICT (role) DO UPDATE"
        " SET beat_at = excluded.beat_at",
        (before + 1,),
    )
    return "count"


async def test_what_is_told_is_there_for_everybody(catalog: Catalog, reader: CatalogReader) -> None:
    """Once a write has its result, every host can read it."""
    assert await catalog.write(beat("web")) == "web"
    assert await reader.read(roles) == ["web"]


@pytest.mark.parametrize("bad", [twice, raise_key_error])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_write_that_fails_undoes_itself_alone(
    catalog: Catalog, reader: CatalogReader, bad: Callable[[Tables], str], place: int
) -> None:
    """PostgreSQL gives a transaction up with its first error; the works beside it go on."""
    works = [beat("a"), beat("b")]
    works.insert(place, bad)
    done = await asyncio.gather(*map(catalog.write, works), return_exceptions=True)
    fault = done.pop(place)
    assert isinstance(fault, KeyError) or (isinstance(fault, Exception) and is_data_fault(fault))
    assert done == ["a", "b"]
    assert await reader.read(roles) == ["a", "b"]


async def test_writers_of_many_hosts_take_turns(catalog_url: str, reader: CatalogReader) -> None:
    """Nobody reads what somebody else is about to change, so that no change is lost."""
    catalogs = [Catalog(catalog_url) for _ in range(4)]
    for each in catalogs:
        await each.start()
    for _ in range(10):
        await asyncio.gather(*(each.write(count) for each in catalogs for _ in range(5)))
    for each in catalogs:
        await each.close()
    sql = "SELECT beat_at FROM heartbeats"
    assert await reader.read(lambda it: it.connection.execute(sql).fetchone()) == (200,)


async def test_one_leads_at_a_time_and_another_takes_over(
    catalog_url: str, reader: CatalogReader
) -> None:
    """By its session: once that has ended nothing of the one before can be committed."""
    first, second = (Catalog(catalog_url, leads=True) for _ in range(2))
    await first.start()
    with pytest.raises(LedElsewhereError):
        await second.start()
    assert await first.write(beat("first")) == "first"
    with opened(catalog_url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND objid = ? AND database = (SELECT oid FROM pg_database"
            " WHERE datname = current_database())",
            (_LEADER_LOCK,),
        )
    await begun(second)
    with pytest.raises(CatalogUnavailableError):
        await first.write(beat("stale"))
    with pytest.raises(LedElsewhereError):
        await first.write(beat("stale"))
    await second.write(beat("second"))
    await second.close()
    assert await first.write(beat("first again")) == "first again"
    await first.close()
    assert await reader.read(roles) == ["first", "first again", "second"]


async def begun(catalog: Catalog) -> None:
    """Returns once it leads; the server ends a session a moment after it was told to."""
    async with asyncio.timeout(30):
        while True:
            with suppress(LedElsewhereError):
                return await catalog.start()


async def test_leases_go_by_the_servers_clock(catalog: Catalog, reader: CatalogReader) -> None:
    """A node whose clock is an hour behind neither ends others' leases nor has its own ended."""

    async def perform(_: Job) -> Settle:
        stop.set()
        await asyncio.Event().wait()
        raise AssertionError

    stop = asyncio.Event()
    behind = FrozenClock(clock.now() - timedelta(hours=1))
    await catalog.write(lambda tables: tables.jobs.want([SEAL], now=behind()))
    bench = Bench(perform=perform, slots=1, per_host=1)
    worker = Worker(catalog, {JobKind.SEAL: bench}, name="w", now=behind, keeps_time=False)
    working = asyncio.create_task(worker.run(stop, drain_seconds=60))
    await stop.wait()
    lease_until = await reader.read(lease)
    assert 0 < (lease_until - clock.now()).total_seconds() <= LEASE_SECONDS
    working.cancel()
    await asyncio.wait([working])


def lease(tables: Tables) -> datetime:
    """Until when the one job is leased."""
    ((millis,),) = tables.connection.execute("SELECT lease_until FROM jobs").fetchall()
    return from_millis(millis)


async def test_a_view_is_of_one_moment_and_cannot_write(
    catalog: Catalog, reader: CatalogReader
) -> None:
    """What is committed meanwhile is seen by the next view."""
    await catalog.write(beat("a"))
    with reader.view() as tables:
        assert roles(tables) == ["a"]
        await catalog.write(beat("b"))
        assert roles(tables) == ["a"]
    with pytest.raises(CatalogUnavailableError), reader.view() as tables:
        beat("c")(tables)
    assert await reader.read(roles) == ["a", "b"]


async def test_a_server_that_is_started_again_is_found_again() -> None:
    """What it committed stays; who comes meanwhile is told so, without the URL, and nobody has to
    be started again."""
    with running() as server:
        url = server.new_database().replace("user=postgres", "user=postgres&password=hush")
        migrate(url)
        catalog, reader = Catalog(url), CatalogReader(url)
        await catalog.start()
        await catalog.write(beat("before"))
        assert await reader.read(roles) == ["before"]
        server.stop()
        for refused in (catalog.write(beat("meanwhile")), reader.read(roles)):
            with pytest.raises(CatalogUnavailableError) as caught:
                await refused
            assert "catalog.url" in str(caught.value)
            assert "hush" not in str(caught.value)
            assert str(server.folder) not in str(caught.value)
        server.start()
        assert await catalog.write(beat("later")) == "later"
        assert await reader.read(roles) == ["before", "later"]
        await catalog.close()
        reader.close()


def test_many_nodes_may_make_the_tables_at_once(server: PostgresServer) -> None:
    """Each starts as if it were the only one; the steps are taken once."""
    url = server.new_database()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(migrate, [url] * 6))
    with opened(url) as connection:
        assert steps_done(connection) == {name for name, _ in STEPS}


def test_what_is_text_has_no_order_but_its_code_points(catalog_url: str) -> None:
    """As on SQLite, so that pages by name are the same ones."""
    with closing(connect(catalog_url)) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type = 'text'"
            " AND collation_name IS DISTINCT FROM 'C'"
        )
        assert rows.fetchall() == []


async def test_a_number_that_was_given_by_hand_is_not_given_again(catalog: Catalog) -> None:
    """Not even once its slot is forgotten: it stands in manifests and in people's notes."""

    def place(tables: Tables) -> None:
        kept = tables.generations.save(None, linked("1"))
        number = kept.slots[0].number or 0
        by_hand = replace(linked("2"), slots=(replace(linked("2").slots[0], number=number + 5),))
        tables.forgetting.generation(tables.generations.save(None, by_hand))
        later = tables.generations.save(None, linked("3"))
        assert later.slots[0].number == number + 6

    await catalog.write(place)


async def test_a_transaction_that_the_server_gave_up_is_not_told_as_done(
    catalog: Catalog, reader: CatalogReader
) -> None:
    """PostgreSQL answers the COMMIT of such a one without an error."""

    def hide_trouble(tables: Tables) -> str:
        beat("never")(tables)
        with suppress(Error):
            tables.connection.execute("SELECT 1 / 0")
        return "never"

    with pytest.raises(CatalogUnavailableError, match="given up before its end"):
        await catalog.write(hide_trouble)
    assert await reader.read(roles) == []


async def test_what_an_error_shows_is_no_row(catalog: Catalog) -> None:
    """The server's own words would show all of it, and a log the whole story."""

    def reveal(tables: Tables) -> None:
        tables.connection.execute("INSERT INTO heartbeats VALUES ('hush', NULL)")

    with pytest.raises(Error) as caught:
        await catalog.write(reveal)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_a_value_comes_back_to_its_last_digit(tables: Tables) -> None:
    """Its token is made of all of them, and would not be found without."""
    exact = [0.1, 3.5999999046325684, 7.0]
    tables.connection.executemany(PUT_VALUE, [("guidance_scale", value) for value in exact])
    assert list(tables.cards.values()["guidance_scale"]) == exact


def test_who_has_no_driver_is_told_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("archiver.drivers.import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'holdfast\[postgres\]'"):
        store_of("postgresql:///catalog")


def test_a_url_that_cannot_be_read_is_not_shown() -> None:
    """Its password would be in it."""
    password = "hu" + "sh"  # for the lines of this test are in the story
    url = f"postgresql://me:{password}@[here/catalog"
    with pytest.raises(Error) as caught:
        connect(url)
    assert password not in "".join(traceback.format_exception(caught.value))


def test_the_operators_own_options_stay(server: PostgresServer) -> None:
    """A search path, for one, says where the tables are."""
    url = f"{server.new_database()}&options=-csearch_path%3Dapart"
    with opened(url) as connection:
        shown = connection.execute("SHOW search_path").fetchone()
        isolation = connection.execute("SHOW default_transaction_isolation").fetchone()
    assert (shown, isolation) == (("apart",), ("read committed",))


@pytest.mark.parametrize("seed", range(6))
def test_no_asset_twice_no_job_stuck(migrated_url: str, seed: int) -> None:
    """The simulation of bad workers keeps its promises here, too."""
    assert broken_promises_in(scratch_on(migrated_url), seed) == []


def test_without_the_fence_stale_workers_settle(migrated_url: str) -> None:
    """And breaks them without the safeguard."""
    assert any(
        broken_promises_in(scratch_on(migrated_url), seed, fenced=False) for seed in range(12)
    )
