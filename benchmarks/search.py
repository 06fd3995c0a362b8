"""How long a search takes in a large archive: a page, its count and facets, and the query itself.

    python -m benchmarks.search [--rows 1000000] [--queries 300] [--folder DIR]

The rows are made up: prompts of a few to forty words in several scripts, the frequent ones very
frequent, and cards of few different values. Queries of ten kinds come in random order, and between
each two the same control query, so that what a noisy machine does to them can be told from what
they are: times are quoted beside the control's. With `--folder` the archive is kept and used again.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from archiver.cards import Card
from archiver.catalog import Tables
from archiver.catalog.schema import migrate
from archiver.catalog.texts import Words
from archiver.facets import tokens_of
from archiver.models import GenerationState, Origin, SlotState
from archiver.query import parse
from archiver.search import overview, search
from archiver.segment import segment
from archiver.sqlite import open_reader, open_writer
from benchmarks.harness import print_table

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PAGE = 60
PORTION = 2000
WORDS = 40_000
CONTROL = "w7 w31"

SCRIPTS = {
    "zh": "少女猫城市夜景赛博朋克电影光效最高质量山水云海",
    "ja": "少女と猫の夜景ネオン街サイバーパンク最高品質",
    "ko": "소녀고양이야경네온도시최고품질",
    "th": "แมวน้ำเมืองกลางคืนแสงสี",
}
MODELS = [f"model-{number}" for number in range(40)]
SIZES = [(1024, 1024), (1024, 1536), (1536, 1024), (512, 512), (768, 1344)]


class Made:
    """Rows and queries out of the same words."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(WORDS)))

    def word(self) -> str:
        """A word; the lower its number, the more frequent."""
        return f"w{self.random.choices(range(WORDS), cum_weights=self._weights)[0]}"

    def stretch(self, least: int, most: int) -> str:
        """Some characters of a script without spaces, as they stand in its texts."""
        text = SCRIPTS[self.random.choice([*SCRIPTS])]
        begin = self.random.randrange(len(text) - least)
        return text[begin : begin + self.random.randint(least, most)]

    def prompt(self) -> str:
        """The broad word in half of them; a fifth in a script without spaces."""
        words = [self.word() for _ in range(self.random.randint(5, 40))]
        if self.random.random() < 0.2:
            words = [self.stretch(2, 12) for _ in range(self.random.randint(2, 8))]
        if self.random.random() < 0.5:
            words.append("masterpiece")
        return " ".join(words)

    def card(self, number: int) -> Card:
        """A card of few different values."""
        chosen = self.random
        width, height = chosen.choice(SIZES)
        lost = chosen.random() < 0.03
        heard_at = NOW - timedelta(seconds=60 * (2_000_000 - number))
        return Card(
            number=number,
            provider=chosen.choice(("doitong", "modelslab", "dashscope")),
            generation_id=f"{number:x}",
            slot_index=0,
            model=chosen.choice(MODELS),
            generation_state=GenerationState.SUCCEEDED,
            state=SlotState.HELD if lost else SlotState.ARCHIVED,
            origin=None if lost else Origin.PROVIDER,
            media_type=None if lost else "image/png",
            width=width,
            height=height,
            steps=chosen.choice((8, 20, 25, 28, 30, 40, 50)),
            guidance_scale=chosen.choice((3.5, 5.0, 7.0, 7.5)),
            seed=chosen.getrandbits(32),
            size_bytes=None if lost else int(chosen.lognormvariate(14, 0.6)),
            sha256=None if lost else chosen.randbytes(32),
            created_at=heard_at,
            archived_at=None if lost else heard_at,
            first_heard_at=heard_at,
        )

    def queries(self) -> dict[str, Callable[[], str]]:
        """A query of each kind."""
        pick = self.random.choice
        return {
            "a word": self.word,
            "the word of half the rows": lambda: "masterpiece",
            "two words": lambda: f"{self.word()} {self.word()}",
            "a phrase": lambda: f'"{self.word()} {self.word()}"',
            "a beginning": lambda: f"w{self.random.randrange(10, 999)}*",
            "1 or 2 characters of a script": lambda: self.stretch(1, 2),
            "a run of them": lambda: self.stretch(3, 6),
            "words and fields": lambda: f"masterpiece provider:dashscope model:{pick(MODELS)}",
            "OR, and a NOT": lambda: f"({self.word()} OR {self.word()}) -{self.word()}",
            "a range": lambda: f"masterpiece steps:{pick((8, 20))}..{pick((28, 40))} bytes:>2MB",
            "by size": lambda: f"{self.word()} sort:bytes",
        }


def fill(path: Path, rows: int) -> float:
    """Makes the archive; the answer is how many rows a second were written."""
    migrate(path)
    connection = open_writer(path, synchronous="NORMAL")
    tables, made, begun_at = Tables(connection), Made(1), time.perf_counter()
    for first in range(1, rows + 1, PORTION):
        numbers = range(first, min(first + PORTION, rows + 1))
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO generations (key, provider, id, state, params, moderated, first_heard_at,"
            " revision, sealed_revision) VALUES (?, 'doitong', ?, 'succeeded', ?, 0, 0, 1, 1)",
            [(number, str(number), '{"prompt": "as it was told"}') for number in numbers],
        )
        connection.executemany(
            "INSERT INTO slots (number, generation, slot_index, state, reason)"
            " VALUES (?, ?, 0, 'archived', '')",
            [(number, number) for number in numbers],
        )
        cards = [made.card(number) for number in numbers]
        tables.cards.put(cards)
        tables.texts.put(
            [
                Words(card.number, segment(made.prompt()), "", card.generation_id, tokens_of(card))
                for card in cards
            ]
        )
        connection.execute("COMMIT")
    seconds = time.perf_counter() - begun_at
    connection.execute("INSERT INTO texts_fts (texts_fts) VALUES ('optimize')")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return rows / seconds


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    begun_at = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begun_at)


def measure(tables: Tables, queries: int) -> Iterator[tuple[str, list[float], list[float]]]:
    """For each kind the times of a page, and of a page with count and facets; the control last."""
    made = Made(2)
    kinds = made.queries()
    pages: dict[str, list[float]] = {kind: [] for kind in (*kinds, "control")}
    wholes: dict[str, list[float]] = {kind: [] for kind in (*kinds, "control")}
    control = parse(CONTROL, now=NOW)
    order = [kind for kind in kinds for _ in range(queries // len(kinds))]
    made.random.shuffle(order)
    for kind in order:
        query = parse(kinds[kind](), now=NOW)
        for name, asked in ((kind, query), ("control", control)):
            page = timed(lambda asked=asked: search(tables, asked, limit=PAGE))
            rest = timed(lambda asked=asked: overview(tables, asked))
            pages[name].append(page)
            wholes[name].append(page + rest)
    everything = [time_ for kind in kinds for time_ in pages[kind]]
    all_wholes = [time_ for kind in kinds for time_ in wholes[kind]]
    yield from ((kind, pages[kind], wholes[kind]) for kind in kinds)
    yield "all of them", everything, all_wholes
    yield "control", pages["control"], wholes["control"]


def quantile(times: list[float], share: float) -> str:
    """The time that so many took at most."""
    return f"{sorted(times)[min(len(times) - 1, int(share * len(times)))]:.2f}"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=1100)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = (given.folder or Path(name)) / f"search-{given.rows}.db"
        written = None if path.exists() else fill(path, given.rows)
        connection = open_reader(path)
        connection.execute("BEGIN")
        found = list(measure(Tables(connection), given.queries))
        connection.close()
        size = path.stat().st_size
    rows = [
        (
            kind,
            *(quantile(times, share) for times in (pages, wholes) for share in (0.5, 0.99)),
            f"{statistics.median(pages) / statistics.median(found[-1][1]):.2f}x",
        )
        for kind, pages, wholes in found
    ]
    columns = ("query", "page p50", "p99", "with count, facets p50", "p99", "of the control")
    title = f"search among {given.rows:,} rows, {size / 1e6:.0f} MB, ms"
    print_table(title, columns, rows)
    texts = [make() for make in Made(3).queries().values()]
    parsing = [timed(lambda text=text: parse(text, now=NOW)) for text in texts * 200]
    print(f"a query is read in {statistics.median(parsing):.3f} ms")
    if written is not None:
        print(f"rows written with cards, words and tokens: {written:,.0f}/s, {PORTION} to a commit")


if __name__ == "__main__":
    main()
