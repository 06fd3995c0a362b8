"""The same rows in SQLite and in PostgreSQL, to be asked the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from archiver.cards import Card
from archiver.catalog.cards import COLUMNS, few_values, to_row
from archiver.catalog.postgres_migrations import migrate as migrate_server
from archiver.catalog.postgres_texts import PostgresTexts
from archiver.catalog.postgres_walks import PostgresWalks
from archiver.catalog.schema import migrate
from archiver.catalog.texts import Texts, Words
from archiver.catalog.walks import Walks
from archiver.facets import tokens_of
from archiver.postgres import Connection, opened
from archiver.query import QueryError, parse
from archiver.search import CursorError, count, search
from archiver.segment import segment
from tests.archiver.catalog.scratch import scratch
from tests.archiver.query.archive import Row
from tests.clocks import NOON


class Shown:
    """The cards, to be shown beside any driver's walks."""

    def __init__(self, cards: Sequence[Card]) -> None:
        self._cards = {card.number: (card, None) for card in cards}
        self._values: dict[str, list[float]] = {}
        for name, value in sorted(few_values(cards)):
            self._values.setdefault(name, []).append(value)

    def load(self, numbers: Sequence[int]) -> dict[int, tuple[Card, None]]:
        """Those of these numbers."""
        return {number: self._cards[number] for number in numbers}

    def values(self) -> Mapping[str, Sequence[float]]:
        """As `Cards.values`."""
        return self._values


class Side(NamedTuple):
    """As much of `Tables` as a search needs."""

    connection: Any
    texts: Any
    walks: Any
    cards: Shown


class Answer(NamedTuple):
    """The numbers on two pages, how they ended, and how many there are."""

    pages: list[list[int]]
    ends: list[tuple[str | None, bool]]
    count: Any


@contextmanager
def both(folder: Path, url: str, rows: Sequence[Row]) -> Iterator[tuple[Side, Side]]:
    """SQLite's side, in a new file of that folder, and PostgreSQL's, in a new database."""
    shown = Shown([row.card for row in rows])
    words = [words_of(row) for row in rows]
    migrate(folder / "catalog.db")
    migrate_server(url)
    with scratch(folder / "catalog.db") as tables, opened(url) as connection:
        tables.connection.execute("PRAGMA defer_foreign_keys=ON")
        sqlite = Side(tables.connection, Texts(tables.connection), Walks(tables.connection), shown)
        postgres = Side(connection, PostgresTexts(connection), PostgresWalks(connection), shown)
        for table in ("cards", "texts"):  # of slots that nobody needs here
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_number_fkey")
        tables.cards.put([row.card for row in rows])
        put_cards(connection, [row.card for row in rows])
        for side in (sqlite, postgres):
            side.texts.put(words)
        yield sqlite, postgres


def put_cards(connection: Connection, cards: Sequence[Card]) -> None:
    """Writes cards that are not there yet."""
    connection.executemany(
        f"INSERT INTO cards ({', '.join(COLUMNS)}) VALUES ({','.join('?' * len(COLUMNS))})",
        [to_row(card) for card in cards],
    )


def words_of(row: Row) -> Words:
    """What finds a row."""
    texts = map(segment, (row.prompt, row.neg, row.about))
    return Words(row.card.number, *texts, tokens_of(row.card))


def answer(side: Side, text: str, *, limit: int, cursor: str | None = None) -> Answer:
    """What a person gets to see."""
    query = parse(text, now=NOON)
    pages, ends = [], []
    for _ in range(2):
        page = search(side, query, cursor=cursor, limit=limit)  # type: ignore[arg-type]
        pages.append([hit.card.number for hit in page.hits])
        ends.append((page.cursor, page.partial))
        if (cursor := page.cursor) is None:
            break
    return Answer(pages, ends, count(side, query))  # type: ignore[arg-type]


def attempt(ask: Callable[[], Answer]) -> Answer | str:
    """An answer, or why there is none."""
    try:
        return ask()
    except (QueryError, CursorError) as error:
        return str(error)
