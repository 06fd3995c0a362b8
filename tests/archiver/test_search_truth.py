"""A real catalog of made-up cards: what a query means is what its pages bring, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver.cards import Card
from archiver.catalog import Tables
from archiver.catalog.texts import Words
from archiver.catalog.walks import Walks
from archiver.facets import tokens_of
from archiver.query import Query, Sort, parse
from archiver.search import FACETS, Page, count, overview, search
from archiver.segment import segment
from tests.archiver.catalog.scratch import scratch
from tests.archiver.query.made_up import Told, rows
from tests.archiver.query.truth import QUERIES, Asked
from tests.clocks import NOON

ROWS = 60

Order = Callable[[Card], tuple[int, int]]
ORDERS: dict[Sort, Order] = {
    Sort.NEWEST: lambda card: (0, -card.number),
    Sort.OLDEST: lambda card: (0, card.number),
    Sort.BYTES: lambda card: (-(-1 if card.size_bytes is None else card.size_bytes), -card.number),
    Sort.COST: lambda card: (-(-1 if card.cost_micros is None else card.cost_micros), -card.number),
}


# What is few and what is many: so that all are sorted, listed, asked for.
WAYS = [(ROWS + 1, ROWS + 2), (0, ROWS + 2), (0, 1)]


def fill(tables: Tables, told: list[Told]) -> None:
    """Writes the cards and words, without the generations that they would be of."""
    connection = tables.connection
    connection.execute(
        "INSERT INTO generations (key, provider, id, state, params, moderated, first_heard_at,"
        " revision, sealed_revision) VALUES (1, 'doitong', '1', 'running', '{}', 0, 0, 1, 0)"
    )
    for it in told:
        number = it.row.card.number
        connection.execute(
            "INSERT INTO slots (number, generation, slot_index, state, reason)"
            " VALUES (?, 1, ?, 'held', '')",
            (number, number),
        )
    tables.cards.put([it.row.card for it in told])
    tables.texts.put(
        [
            Words(card.number, segment(prompt), segment(neg), segment(about), tokens_of(card))
            for card, prompt, neg, about in (it.row for it in told)
        ]
    )


@pytest.fixture(scope="module")
def told() -> list[Told]:
    """The rows, as they were made up."""
    return rows(7, ROWS)


@pytest.fixture(scope="module")
def filled(migrated, told: list[Told]) -> Iterator[Tables]:
    """A catalog of them."""
    with scratch(migrated) as tables:
        fill(tables, told)
        yield tables


def pages(tables: Tables, query: Query, limit: int) -> Iterator[Page]:
    """Every page to the end."""
    cursor = None
    while True:
        page = search(tables, query, cursor=cursor, limit=limit)
        yield page
        if (cursor := page.cursor) is None:
            return


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=QUERIES, sort=st.sampled_from(list(ORDERS)), limit=st.integers(1, ROWS))
def test_pages_bring_what_a_query_means(
    filled: Tables, told: list[Told], asked: Asked, sort: Sort, limit: int
) -> None:
    """Every row that it holds for, once and in order, and no other; the count is theirs."""
    meant = [it.row.card for it in told if asked.holds(it)]
    query = parse(f"({asked.written}) sort:{sort}", now=NOON)

    found = [hit.card.number for page in pages(filled, query, limit) for hit in page.hits]

    assert found == [card.number for card in sorted(meant, key=ORDERS[sort])]
    in_all, of_all = overview(filled, query)
    assert count(filled, query) == in_all
    assert in_all.number == len(meant)
    for column in FACETS:
        values = [getattr(card, column) for card in meant]
        assert of_all[column] == {
            value: values.count(value) for value in set(values) if value is not None
        }


@settings(max_examples=60)
@given(asked=QUERIES, sort=st.sampled_from([Sort.BYTES, Sort.COST]), limit=st.integers(1, ROWS))
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_the_greatest_brings_the_same(
    filled: Tables, told: list[Told], way: tuple[int, int], asked: Asked, sort: Sort, limit: int
) -> None:
    """How many match decides how they are looked for, and nothing else."""
    meant = [it.row.card for it in told if asked.holds(it)]
    query = parse(f"({asked.written}) sort:{sort}", now=NOON)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Walks, "_few_and_many", lambda _, limit: way)
        found = [hit.card.number for page in pages(filled, query, limit) for hit in page.hits]

    assert found == [card.number for card in sorted(meant, key=ORDERS[sort])]


@settings(max_examples=60)
@given(asked=QUERIES, limit=st.integers(1, ROWS))
def test_the_best_matches_are_the_same_rows(
    filled: Tables, told: list[Told], asked: Asked, limit: int
) -> None:
    """Only in another order."""
    query = parse(f"({asked.written}) sort:relevance", now=NOON)

    found = [hit.card.number for page in pages(filled, query, limit) for hit in page.hits]

    assert sorted(found) == sorted(it.row.card.number for it in told if asked.holds(it))


def test_a_page_ends_when_its_time_is_up_and_goes_on(
    filled: Tables, told: list[Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found until then, and a cursor that misses nothing of the rest."""
    monkeypatch.setattr("archiver.catalog.walks._FIRST_STEP", 5)
    monkeypatch.setattr("archiver.catalog.walks._LAST_STEP", 5)
    query = parse("bytes:>1400", now=NOON)
    meant = {it.row.card.number for it in told if (it.row.card.size_bytes or 0) > 1400}
    found: list[int] = []
    cursor: str | None = None
    ends = []
    while not ends or cursor is not None:
        page = search(filled, query, cursor=cursor, limit=ROWS, late=lambda: True)
        found += [hit.card.number for hit in page.hits]
        cursor = page.cursor
        ends.append(page.partial)

    assert found == sorted(meant, reverse=True)
    assert len(ends) > 5
    assert not ends[-1]
    assert all(ends[:-1])
