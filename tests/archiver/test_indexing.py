"""Filling the index: what an older version left out, and everything anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from archiver.catalog import Catalog, Tables
from archiver.catalog.schema import migrate
from archiver.indexing import fill
from archiver.ledger import keep
from archiver.query import parse
from archiver.search import search
from tests.archiver.generated import linked
from tests.clocks import NOON

COUNT = 7


@pytest.fixture
async def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Catalog]:
    """Some generations, in portions that are smaller."""
    monkeypatch.setattr("archiver.indexing._PORTION", 3)
    migrate(tmp_path / "catalog.db")
    catalog = Catalog(tmp_path / "catalog.db")
    await catalog.start()

    def work(tables: Tables) -> None:
        for number in range(COUNT):
            keep(tables, None, linked(str(number), prompt="a fox"), now=NOON)

    await catalog.write(work)
    yield catalog
    await catalog.close()


async def found(catalog: Catalog, text: str) -> int:
    """How many slots that text finds."""
    query = parse(text, now=NOON)
    page = await catalog.write(lambda tables: search(tables, query, limit=99))
    return len(page.hits)


@pytest.mark.parametrize("lost", [range(0), range(2, 5), range(1, COUNT + 1)])
async def test_what_is_left_out_is_filled_in(catalog: Catalog, lost: range) -> None:
    """And nothing else is touched."""
    numbers = ",".join(map(str, lost))
    statements = [
        f"DELETE FROM {table} WHERE number IN ({numbers})" for table in ("cards", "texts")
    ]
    await catalog.write(
        lambda tables: [tables.connection.execute(it) for it in statements] and None
    )
    assert await found(catalog, "fox state:linked") == COUNT - len(lost)
    progress: list[int] = []
    assert await fill(catalog, progress=progress.append) == len(lost) == sum(progress)
    assert await found(catalog, "fox state:linked") == COUNT
    assert await fill(catalog) == 0


async def test_everything_is_filled_anew(catalog: Catalog) -> None:
    """What the index held wrongly is gone, in as many portions as it takes."""
    wrong = "UPDATE texts SET prompt='hen', facets='all'"
    await catalog.write(lambda tables: tables.connection.execute(wrong) and None)
    assert (await found(catalog, "fox"), await found(catalog, "hen")) == (0, COUNT)
    progress: list[int] = []
    assert await fill(catalog, everything=True, progress=progress.append) == COUNT
    assert progress == [3, 3, 1]
    assert (await found(catalog, "fox state:linked"), await found(catalog, "hen")) == (COUNT, 0)


async def test_others_write_in_between(catalog: Catalog) -> None:
    """What comes in while it is filled is not lost to it."""

    def work(tables: Tables) -> None:
        keep(tables, None, linked("late", prompt="a fox"), now=NOON)

    await asyncio.gather(fill(catalog, everything=True), catalog.write(work))
    assert await found(catalog, "fox") == COUNT + 1
