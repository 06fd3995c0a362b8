"""PostgreSQL finds what SQLite finds: the same rows in the same order, page for page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.catalog.postgres_walks import PostgresWalks
from archiver.query import Plan, Sort, parse, plan
from archiver.query.tsvector import ABRIDGED, WANTING, vector
from archiver.segment import segment
from tests.archiver.catalog.postgres_beside import Side, answer, attempt, both, words_of
from tests.archiver.postgres_server import PostgresServer, running
from tests.archiver.query.archive import Row
from tests.archiver.query.made_up import rows
from tests.archiver.query.test_any_text import PIECES
from tests.archiver.query.truth import QUERIES, Asked
from tests.clocks import NOON

MADE_UP = 700
SORTS = st.sampled_from([Sort.NEWEST, Sort.NEWEST, Sort.OLDEST, Sort.BYTES, Sort.COST])


def nasty() -> dict[str, str]:
    """Prompts that PostgreSQL's own kind of text cannot hold, or reads something into."""
    random = Random(3)
    many = [f"w{random.randrange(30_000)}" for _ in range(20_000)]
    many[16_380:16_390] = [f"edge{place}" for place in range(10)]
    return {
        "many": " ".join(many),
        "often": "fox " * 1000 + "bar",
        "both often": "fox bar " * 600,
        "long": f"{'a' * 5000} fox {'猫' * 3} {'a' * 4999}b",
        "longer": f"fox {'я' * 5000} bar {'я' * 300}",
        "at the limit": " ".join("a" * length for length in (398, 399, 400, 401, 402)),
        "at the limit, wide": " ".join("я" * length for length in range(195, 205)),
        "huge": " ".join(f"{number:x}{'z' * 60}" for number in range(16_000)) + " fox bar",
        "syntax": r"""fox's \bar\ 'fox':1A,2B & | ! <-> <2> (fox) fox:* bar:ABC :* '' "fox" """,
        "null": "fox\0bar\ud83d baz \udfff",
        "bar": "bar fox",
        "plain": "fox bar",
        "apart": "fox baz bar",
        "empty": "",
    }


ASKED_OF_NASTY = [
    "fox", "bar", '"fox bar"', '"bar fox"', '"fox fox"', "fox*", '"fox ba"*', '-"fox bar"',
    'fox -"fox bar"', '-"fox bar" -"bar fox"', '"fox bar" OR edge1', "w1 w2", '"edge3 edge4"',
    '"edge1 edge2 edge3"', '"edge2 edge4"', '"edge8 edge9"', "edge*", '"fox fox fox bar"',
    '"bar fox bar fox"', "a" * 5000, "a" * 4999, f"{'a' * 4999}*", f"{'a' * 5000}*",
    f"{'a' * 4999}b", f"{'a' * 300}*", f"{'a' * 399}*", f"{'a' * 400}*", f"{'a' * 401}*",
    f"-{'a' * 401}*", f'"{"a" * 5000} fox"', "я" * 5000, "я" * 200 + "*", "я" * 201 + "*",
    "я" * 199 + "*", f'"fox {"я" * 5000}"', f'"{"я" * 5000} bar"', "猫", "猫猫", "猫猫猫猫",
    f"ff{'z' * 60}", f"fff{'z' * 59}*", f"-ff{'z' * 60}", f"3e7f{'z' * 60}",
    f'"3e7f{"z" * 60} fox"', "model:flux* fox", "is:saved -fox", "baz", "-baz", "-w1",
    "fox's", r"\bar\ ", "'fox':1A", "fox & bar", "fox <-> bar", "(fox | bar) !baz", "fox:*",
    "fox\0bar", "\ud83d", "'; DROP TABLE texts; --", "%s %(x)s ?", "::tsquery", "fox bytes:>1500",
    '("fox bar" OR bytes:>1500) -baz', '-("edge3 edge4" bytes:*)',
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server to ask."""
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def sides(
    tmp_path_factory: pytest.TempPathFactory, server: PostgresServer
) -> Iterator[tuple[Side, Side]]:
    """Made-up rows on both."""
    made = [told.row for told in rows(7, MADE_UP)]
    with both(tmp_path_factory.mktemp("made-up"), server.new_database(), made) as sides:
        yield sides


@pytest.fixture(scope="module")
def nasty_sides(
    tmp_path_factory: pytest.TempPathFactory, server: PostgresServer
) -> Iterator[tuple[Side, Side]]:
    """Nasty rows on both, each with its prompt twice: as such, and as what is not to be shown."""
    cards = [told.row.card for told in rows(8, 3 * len(nasty()))]
    made = []
    for prompt, (one, two, three) in zip(
        nasty().values(), zip(*[iter(cards)] * 3, strict=True), strict=True
    ):
        made += [Row(one, prompt), Row(two, "baz", prompt), Row(three, "", "fox", prompt)]
    with both(tmp_path_factory.mktemp("nasty"), server.new_database(), made) as sides:
        yield sides


@settings(max_examples=500, derandomize=True)
@given(asked=QUERIES, sort=SORTS, limit=st.sampled_from([1, 7, 60]))
def test_random_queries_bring_the_same_pages(
    sides: tuple[Side, Side], asked: Asked, sort: Sort, limit: int
) -> None:
    """First page, second page, their cursors, and the count."""
    text = f"({asked.written}) sort:{sort}"
    sqlite, postgres = (answer(side, text, limit=limit) for side in sides)
    assert postgres == sqlite


@settings(max_examples=150, derandomize=True)
@given(asked=QUERIES, limit=st.sampled_from([7, 60]))
def test_the_best_matches_come_in_the_same_order(
    sides: tuple[Side, Side], asked: Asked, limit: int
) -> None:
    """The formula is FTS5's, to the last bit."""
    text = f"({asked.written}) sort:relevance"
    sqlite, postgres = (answer(side, text, limit=limit) for side in sides)
    assert postgres == sqlite


def test_where_phrases_are_too_many_to_count_few_pages_differ(sides: tuple[Side, Side]) -> None:
    """How rare they are is then judged by the newest rows, and near ranks may change places."""
    asked_for, others = [], []

    @settings(max_examples=80, derandomize=True, database=None)
    @given(asked=QUERIES)
    def ask(asked: Asked) -> None:
        text = f"({asked.written}) sort:relevance"
        sqlite, postgres = (answer(side, text, limit=60) for side in sides)
        assert postgres.count == sqlite.count
        asked_for.append(text)
        if postgres.pages[0] != sqlite.pages[0]:
            others.append(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archiver.catalog.postgres_walks._MOST_EXACT", 60)
        patch.setattr("archiver.catalog.postgres_walks._FIRST_STRETCH", 64)
        ask()
    assert len(others) <= 0.1 * len(asked_for), f"{len(others)} of {len(asked_for)}"


@settings(max_examples=100, derandomize=True)
@given(asked=QUERIES, sort=SORTS, at=st.integers(1, 3 * MADE_UP), value=st.integers(-1, 2000))
def test_a_cursor_from_anywhere_goes_on_alike(
    sides: tuple[Side, Side], asked: Asked, sort: Sort, at: int, value: int
) -> None:
    """However deep, and whether there is such a row or not."""
    cursor = f"{value}.{at}" if sort in (Sort.BYTES, Sort.COST) else str(at)
    text = f"({asked.written}) sort:{sort}"
    sqlite, postgres = (answer(side, text, limit=20, cursor=cursor) for side in sides)
    assert postgres == sqlite


@settings(max_examples=100, derandomize=True)
@given(asked=QUERIES, sort=st.sampled_from([Sort.BYTES, Sort.COST]))
@pytest.mark.parametrize("few", [0, 3, 10_000])
def test_every_way_to_the_greatest_brings_the_same(
    sides: tuple[Side, Side], few: int, asked: Asked, sort: Sort
) -> None:
    """How many match decides how they are looked for, and nothing else."""
    text = f"({asked.written}) sort:{sort}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PostgresWalks, "_few", lambda *_: few)
        sqlite, postgres = (answer(side, text, limit=20) for side in sides)
    assert postgres == sqlite


@settings(max_examples=100, derandomize=True)
@given(asked=QUERIES, sort=SORTS)
def test_any_width_of_stretches_brings_the_same(
    sides: tuple[Side, Side], asked: Asked, sort: Sort
) -> None:
    """Narrow ones that are asked for by many lexemes, and such as begin between two."""
    text = f"({asked.written}) sort:{sort}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archiver.catalog.postgres_walks._FIRST_STRETCH", 3)
        patch.setattr("archiver.query.tsvector.SPANS", (9,))
        sqlite, postgres = (answer(side, text, limit=2) for side in sides)
    assert postgres == sqlite


@settings(max_examples=100, derandomize=True)
@given(asked=QUERIES, sort=st.sampled_from([Sort.NEWEST, Sort.OLDEST]), limit=st.integers(1, 20))
def test_every_step_looks_at_the_same_rows(
    sides: tuple[Side, Side], asked: Asked, sort: Sort, limit: int
) -> None:
    """So that a page whose time is up ends at the same row, with the same cursor."""
    planned = plan(parse(f"({asked.written}) sort:{sort}", now=NOON))
    with pytest.MonkeyPatch.context() as patch:
        for room in ("walks", "postgres_walks"):
            patch.setattr(f"archiver.catalog.{room}._FIRST_STEP", 5)
            patch.setattr(f"archiver.catalog.{room}._LAST_STEP", 40)
        sqlite, postgres = (
            list(side.walks.steps(planned, beyond=None, limit=limit)) for side in sides
        )
    assert postgres == sqlite


@settings(max_examples=200, derandomize=True)
@given(text=st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join), sort=st.sampled_from(Sort))
def test_any_text_brings_the_same_or_is_refused(
    sides: tuple[Side, Side], text: str, sort: Sort
) -> None:
    """Nothing that is typed means anything to PostgreSQL."""
    text = f"{text} sort:{sort}"
    sqlite, postgres = (attempt(lambda side=side: answer(side, text, limit=20)) for side in sides)
    assert postgres == sqlite


@pytest.mark.parametrize("sort", [Sort.NEWEST, Sort.BYTES, Sort.RELEVANCE])
@pytest.mark.parametrize("text", ASKED_OF_NASTY, ids=range(len(ASKED_OF_NASTY)))
def test_nasty_prompts_are_found_alike(
    nasty_sides: tuple[Side, Side], text: str, sort: Sort
) -> None:
    """Beyond PostgreSQL's limits, too."""
    sqlite, postgres = (
        attempt(lambda side=side: answer(side, f"({text}) sort:{sort}", limit=20))
        for side in nasty_sides
    )
    assert postgres == sqlite


def test_the_nasty_ones_lack_something() -> None:
    """Or nothing was tested."""
    lacks = {}
    for name, prompt in nasty().items():
        lacks[name] = vector(1, prompt=segment(prompt), neg="", about="", facets="all").lacks
    assert {name for name, it in lacks.items() if it == WANTING} == {"huge"}
    assert {name for name, it in lacks.items() if it == ABRIDGED} == {
        "many", "often", "both often", "long", "longer", "at the limit", "at the limit, wide",
    }  # fmt: skip


def test_words_change_as_in_sqlite(tmp_path: Path, server: PostgresServer) -> None:
    """Put anew, labelled, put again: found by what is new, and counted once."""
    told = rows(9, 30)
    with both(tmp_path, server.new_database(), [it.row for it in told]) as sides:
        numbers = [it.row.card.number for it in told]
        for side in sides:
            words = [words_of(it.row) for it in told]
            side.texts.put([each._replace(prompt="horse") for each in words[:10]])
            side.texts.put(words[5:])
            side.texts.put([])
            side.texts.label([(number, "all model_x") for number in numbers[3:8]])
            side.texts.label([])
            side.texts.merge(begin=True)
            side.texts.rebuild()
        for text in ("horse", "-horse", "model:x*", "is:saved", "cat sort:relevance"):
            sqlite, postgres = (answer(side, text, limit=20) for side in sides)
            assert postgres == sqlite
        _, postgres = sides
        kept, counted = (
            postgres.connection.execute(f"SELECT {what}, sum(tokens) FROM {table}").fetchone()
            for what, table in (("count(*)", "texts"), ("sum(rows)", "text_totals"))
        )
        assert counted == kept
        places = "SELECT number, ctid FROM texts ORDER BY 1"
        before = postgres.connection.execute(places).fetchall()
        postgres.texts.put([words_of(it.row) for it in told[20:]])
        assert postgres.connection.execute(places).fetchall() == before


def test_nothing_is_found_where_nothing_is(tmp_path: Path, server: PostgresServer) -> None:
    """An archive without a row."""
    with both(tmp_path, server.new_database(), []) as (sqlite, postgres):
        for text in ("", "cat", "-cat", "bytes:>1 cat", "cat sort:bytes", "cat sort:relevance"):
            assert answer(postgres, text, limit=5) == answer(sqlite, text, limit=5)
        assert postgres.walks.count(Plan(), most=5) == 0
