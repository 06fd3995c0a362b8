"""An archive in files in which every table has rows, and what anybody can tell of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from archiver import sqlite
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.inbox import NewDelivery
from archiver.inbox.sqlite import SqliteInbox
from archiver.models import Failure, FailureClass, GenerationParams, GenerationState, Heard
from archiver.moving.move import Moved, Moving
from archiver.moving.tables import TABLES
from archiver.notices import Event
from archiver.postgres import opened
from archiver.query import parse
from archiver.search import count, search
from tests.archiver.filled import filling
from tests.archiver.media_bodies import drawn
from tests.clocks import NOON
from tests.contracts.inbox import ODD, WEBHOOK

PROMPTS = (
    "a fox in the snow",
    "少女 in Kyoto",
    "แมว on a sofa",
    "it's 100% \\ \"quoted\" 'text'",
    "a zero \0 within",
    "🐱" * 40,
    "x" * 3000,
    "",
)
QUERIES = (
    *("fox", "少女", "แมว", "snow OR sofa", "-fox", '"in the snow"', "quot*", "zero"),
    *("sort:oldest", "sort:bytes", "state:linked", "is:lost", "seed:7", "provider:doitong"),
    *("created:2026", "fox sort:relevance", "width:512", "scale:7.5", "xxx*"),
)
NODE = "a"


async def make(folder: Path, *, generations: int = 40) -> None:
    """Fills catalog and inboxes as the service does, and what it seldom fills by hand."""
    async with filling(folder) as archive:
        for n in range(generations):
            prompt = PROMPTS[n % len(PROMPTS)]
            params = GenerationParams(
                prompt=f"{prompt} {n}", seed=2**64 - 1 - n if n % 3 else 7, width=512, height=n or 1
            )
            known: dict[str, Any] = {"params": replace(params, guidance_scale=7.5 + n / 10)}
            if n % 5 == 4:
                failure = Failure(failure_class=FailureClass.DEAD, code="0", message="a\0b")
                known |= {"state": GenerationState.FAILED, "failure": failure, "slots": ()}
            await archive.hear(f"g{n}", prompt, cost=0.1 * n, track_id=f"t{n}", **known)
        await archive.save("g0", drawn("PNG"))
        await archive.catalog.write(_fill_the_rest)
    await hear(folder, "receive", *ODD.values(), *(said(n) for n in range(generations)))
    await hear(folder, "web", replace(WEBHOOK, heard=Heard.REMEMBERED))
    # As after a restore: the old file lies beside a new one, and something came to both.
    await hear(folder, "receive.20261120T000000Z", said(1), said(2), said(10**6))


def said(number: int) -> NewDelivery:
    """Something heard, for each number something else."""
    return replace(WEBHOOK, body=b'{"id": "g%d"}' % number)


async def hear(folder: Path, name: str, *deliveries: NewDelivery) -> None:
    """Appends to the inbox of that name, as its owner does."""
    inbox = SqliteInbox(folder / "inbox" / f"{name}.db")
    await inbox.start()
    for delivery in deliveries:
        await inbox.append(delivery)
    await inbox.close()


async def change(folder: Path, work: Callable[[Tables], Any]) -> None:
    """Changes the catalog's file, as its service does."""
    catalog = Catalog(folder / "catalog.db")
    await catalog.start()
    await catalog.write(work)
    await catalog.close()


def _fill_the_rest(tables: Tables) -> None:
    """A row into every table that has none, of which each value is of the column's type."""
    for table in TABLES:
        execute = tables.connection.execute
        if execute(f"SELECT 1 FROM {table.name}").fetchone():
            continue
        columns = execute(
            "SELECT name, type FROM pragma_table_info(?) ORDER BY cid", (table.name,)
        ).fetchall()
        values = [_made_up(kind, name) for name, kind in columns]
        places = ",".join("?" * len(values))
        execute(f"INSERT INTO {table.name} VALUES ({places})", values)


def _made_up(kind: str, name: str) -> Any:
    numbers = {"generation": 1, "number": 1, "id": 11}
    if name == "event":
        return Event.LOST.value
    return {"INTEGER": numbers.get(name, -5), "REAL": 1 / 3, "BLOB": b"\0\xff'\\"}.get(kind, "é\0'")


def moving(folder: Path, url: str, **given: Any) -> Moving:
    """The move of that folder's archive."""
    values = {"node": NODE, "now": lambda: NOON, **given}
    return Moving(catalog=folder / "catalog.db", inbox_folder=folder / "inbox", url=url, **values)


def moved(folder: Path, url: str, *, alone: bool = True) -> Moved:
    """One run of it."""
    return moving(folder, url).run(alone=alone)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """All databases of the archive, and what was written to their logs."""
    files = (path for pattern in ("*.db", "*.db-wal") for path in folder.rglob(pattern))
    return {str(path): path.read_bytes() for path in files if path.stat().st_size}


def rows_here(folder: Path, table: str) -> list[tuple[Any, ...]]:
    """All rows of a table of the file's, as text is on the server."""
    with closing(sqlite.open_reader(folder / "catalog.db")) as connection:
        rows = connection.execute(f"SELECT * FROM {table}").fetchall()
    return sorted((tuple(map(_drawn, row)) for row in rows), key=repr)


def rows_there(folder: Path, url: str, table: str) -> list[tuple[Any, ...]]:
    """The same columns of the server's table."""
    with closing(sqlite.open_reader(folder / "catalog.db")) as connection:
        found = connection.execute("SELECT name FROM pragma_table_info(?) ORDER BY cid", (table,))
        columns = ", ".join(name for (name,) in found)
    with opened(url) as connection:
        rows = connection.execute(f"SELECT {columns} FROM {table}").fetchall()
    return sorted((tuple(map(_drawn, row)) for row in rows), key=repr)


def drawn_text(value: object) -> str:
    """Its representation, as if it came from a server, which draws U+0000."""
    return repr(value).replace("\\x00", "\u2400")


def _drawn(value: Any) -> Any:
    """Text without U+0000, and numbers that are equal as the same text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.replace("\0", "\u2400") if isinstance(value, str) else value


@contextmanager
def both(folder: Path, url: str) -> Iterator[tuple[Tables, Tables]]:
    """The tables of the file and of the server."""
    here, there = CatalogReader(folder / "catalog.db"), CatalogReader(url)
    with closing(here), closing(there), here.view() as one, there.view() as other:
        yield one, other


def answers(tables: Tables) -> list[tuple[str, list[str], Any]]:
    """What a person is answered to all of the queries: two pages, and how many there are."""
    told = []
    for text in QUERIES:
        query, cursor, pages = parse(text, now=NOON), None, []
        for _ in range(2):
            page = search(tables, query, cursor=cursor, limit=9)
            pages.append(drawn_text([hit.card for hit in page.hits]))
            cursor = page.cursor
            if cursor is None:
                break
        told.append((text, pages, count(tables, query)))
    return told
