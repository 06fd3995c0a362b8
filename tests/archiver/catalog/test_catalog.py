"""The catalog's door: one transaction for each write, one commit for many, one moment per view."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.schema import migrate
from archiver.catalog.texts import Words
from archiver.errors import CatalogUnavailableError
from archiver.sqlite import DATA_FAULTS
from tests.archiver.disks import commits, fill_disk, locked
from tests.clocks import NOON


def beat(role: str) -> Callable[[Tables], str]:
    """A write that leaves a trace."""

    def work(tables: Tables) -> str:
        tables.deliveries.beat(role, now=NOON)
        return role

    return work


def beat_then(role: str, trouble: Callable[[Tables], object]) -> Callable[[Tables], str]:
    """A write that leaves a trace and then comes to a bad end."""

    def work(tables: Tables) -> str:
        tables.deliveries.beat(role, now=NOON)
        trouble(tables)
        return role

    return work


def raise_key_error(_: Tables) -> None:
    raise KeyError("a bug")


def insert_twice(tables: Tables) -> None:
    tables.connection.execute("INSERT INTO heartbeats VALUES ('twice', 1), ('twice', 2)")


def bind_an_object(tables: Tables) -> None:
    tables.connection.execute("INSERT INTO heartbeats VALUES (?, 1)", (object(),))


def bind_a_huge_integer(tables: Tables) -> None:
    tables.connection.execute("INSERT INTO heartbeats VALUES ('huge', ?)", (1 << 63,))


def bind_a_surrogate(tables: Tables) -> None:
    tables.connection.execute("INSERT INTO heartbeats VALUES (?, 1)", ("\ud800",))


def break_a_reference(tables: Tables) -> None:
    tables.texts.put([Words(number=99, prompt="", neg="", about="", facets="")])


def fill(tables: Tables) -> None:
    fill_disk(tables.connection)


def roles(tables: Tables) -> list[str]:
    """The traces of what was written."""
    rows = tables.connection.execute("SELECT role FROM heartbeats ORDER BY role")
    return [role for (role,) in rows]


async def outcomes(catalog: Catalog, *works: Callable[[Tables], str]) -> list[object]:
    """What each of several writes at once comes to: its result, or its error's class."""
    done = await asyncio.gather(*map(catalog.write, works), return_exceptions=True)
    return [type(it) if isinstance(it, BaseException) else it for it in done]


# Writing ----------------------------------------------------------------------------------------


async def test_a_result_is_told_once_it_is_durable(catalog: Catalog, reader: CatalogReader) -> None:
    """Whoever has a result finds its effect in the file."""
    assert await catalog.write(beat("archive")) == "archive"
    with reader.view() as tables:
        assert roles(tables) == ["archive"]


async def test_writes_that_wait_together_share_a_commit(
    catalog_path: Path, catalog: Catalog
) -> None:
    """A hundred short writes cost one commit, each sees those before it."""
    before = commits(catalog_path)

    def count(tables: Tables) -> int:
        tables.deliveries.beat(f"role {len(roles(tables))}", now=NOON)
        return len(roles(tables))

    counts = await asyncio.gather(*(catalog.write(count) for _ in range(100)))
    assert list(range(1, 101)) == counts
    assert commits(catalog_path) == before + 1


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (raise_key_error, KeyError),
        (insert_twice, DATA_FAULTS),
        (break_a_reference, DATA_FAULTS),
        (bind_an_object, DATA_FAULTS),
        (bind_a_huge_integer, OverflowError),
        (bind_a_surrogate, UnicodeEncodeError),
    ],
)
async def test_a_write_that_fails_undoes_itself_alone(
    catalog_path: Path,
    catalog: Catalog,
    trouble: Callable[[Tables], None],
    error: type[Exception] | tuple[type[Exception], ...],
) -> None:
    """Its own changes are undone and its own error raised; the commit holds all the others."""
    before = commits(catalog_path)
    works = [beat("one"), beat_then("bad", trouble), beat("two")]
    one, bad, two = await asyncio.gather(*map(catalog.write, works), return_exceptions=True)
    assert (one, two) == ("one", "two")
    assert isinstance(bad, error)
    assert await catalog.write(roles) == ["one", "two"]
    assert commits(catalog_path) == before + 1


@pytest.mark.parametrize("others", [[], ["one", "two"]])
async def test_the_first_write_of_a_commit_undoes_itself_too(
    catalog: Catalog, others: list[str]
) -> None:
    """It has no savepoint of its own, whether it is alone or others follow."""
    works = [beat_then("bad", raise_key_error), *map(beat, others)]
    assert [KeyError, *others] == await outcomes(catalog, *works)
    assert await catalog.write(roles) == others


async def test_a_full_disk_fails_everyone_and_is_recovered_from(catalog: Catalog) -> None:
    """After a true SQLITE_FULL nothing of the batch is trusted; the next write just works."""
    works = [beat("one"), beat_then("bad", fill), beat("two")]
    assert [CatalogUnavailableError] * 3 == await outcomes(catalog, *works)
    assert await catalog.write(roles) == []
    assert await catalog.write(beat("later")) == "later"


async def test_a_locked_catalog_fails_everyone_and_is_recovered_from(
    catalog_path: Path, catalog: Catalog
) -> None:
    """Another program's long transaction is an outage that ends by itself."""
    waiting = outcomes(catalog, beat("one"), beat("two"))
    with locked(catalog_path):
        assert [CatalogUnavailableError] * 2 == await waiting
    assert await outcomes(catalog, beat("one"), beat("two")) == ["one", "two"]
    assert await catalog.write(roles) == ["one", "two"]


async def test_the_outage_is_explained(catalog_path: Path, catalog: Catalog) -> None:
    """The sentence says what is wrong and that nothing is lost."""
    with locked(catalog_path), pytest.raises(CatalogUnavailableError) as caught:
        await catalog.write(beat("one"))
    assert "locked" in str(caught.value)
    assert "nothing that was acknowledged is lost" in str(caught.value)


async def test_a_catalog_that_cannot_be_opened_is_said_at_the_start(tmp_path: Path) -> None:
    """A folder is no catalog."""
    catalog = Catalog(tmp_path)
    with pytest.raises(CatalogUnavailableError):
        await catalog.start()
    await catalog.close()


async def test_a_catalog_may_be_opened_when_it_is_needed(tmp_path: Path) -> None:
    """By a role that may start before the one that makes it: each write tells until it is there."""
    path = tmp_path / "data" / "catalog.db"
    catalog = Catalog(path)
    await catalog.start(opened=False)
    assert await outcomes(catalog, beat("one")) == [CatalogUnavailableError]
    assert not path.exists()
    migrate(path)
    assert await outcomes(catalog, beat("two")) == ["two"]
    await catalog.close()


async def test_opening_it_waits_for_no_reader(
    catalog_path: Path, catalog: Catalog, reader: CatalogReader
) -> None:
    """Only after a fault must the log be begun anew, which a reader could keep from being done."""
    late = Catalog(catalog_path)
    await late.start(opened=False)
    with reader.view() as tables:
        roles(tables)
        await catalog.write(beat("one"))
        assert await outcomes(late, beat("two")) == ["two"]
    await late.close()


async def test_closing_writes_all_that_waits(catalog: Catalog, reader: CatalogReader) -> None:
    """What was handed over is written; what comes later is told that it is too late."""
    waiting = asyncio.ensure_future(outcomes(catalog, beat("one"), beat("two")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the writes are tasks of a task
    await catalog.close()
    assert await waiting == ["one", "two"]
    assert await outcomes(catalog, beat("three")) == [CatalogUnavailableError]
    with reader.view() as tables:
        assert roles(tables) == ["one", "two"]


# Reading ----------------------------------------------------------------------------------------


async def test_a_view_is_of_one_moment(catalog: Catalog, reader: CatalogReader) -> None:
    """What is committed meanwhile is seen by the next view, not by this one."""
    with reader.view() as tables:
        before = roles(tables)
        await catalog.write(beat("archive"))
        assert before == roles(tables)
        with reader.view() as other:
            assert roles(other) == ["archive"]
    with reader.view() as tables:
        assert roles(tables) == ["archive"]


async def test_a_view_cannot_write(reader: CatalogReader) -> None:
    """Reading is all that a reader can do."""
    with pytest.raises(CatalogUnavailableError, match="readonly"), reader.view() as tables:
        tables.deliveries.beat("archive", now=NOON)


async def test_reads_go_on_while_a_write_is_under_way(
    catalog: Catalog, reader: CatalogReader, catalog_path: Path
) -> None:
    """Nobody who reads waits for a writer."""
    await catalog.write(beat("archive"))
    with locked(catalog_path):
        assert await reader.read(roles) == ["archive"]


async def test_many_may_read_at_once(catalog: Catalog, reader: CatalogReader) -> None:
    """Reads run on threads of their own, each with a connection to itself."""
    await catalog.write(beat("archive"))
    answers = await asyncio.gather(*(reader.read(roles) for _ in range(200)))
    assert answers == [["archive"]] * 200


async def test_trouble_in_a_view_is_the_viewers_own(
    catalog: Catalog, reader: CatalogReader
) -> None:
    """An exception passes through as it is, and the next view works."""
    await catalog.write(beat("archive"))
    with pytest.raises(KeyError), reader.view():
        raise KeyError("mine")
    with reader.view() as tables:
        assert roles(tables) == ["archive"]


def test_a_catalog_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """Reading makes no file, and says what is missing."""
    reader = CatalogReader(tmp_path / "missing.db")
    with pytest.raises(CatalogUnavailableError), reader.view():
        pass
    assert list(tmp_path.iterdir()) == []
