"""holdfast's search against Datasette's of the same rows, both asked over HTTP.

    python -m benchmarks.search_beside [--rows 1000000] [--rounds 15] [--folder DIR]

Datasette is given the rows as its users would have them: one table, made and indexed for full text
by sqlite-utils, with an index on what is filtered by; and all the time that it wants, where by
default it gives up after a second. Each round asks both for the same page of 60, newest first: as
each answers by default, which of Datasette includes a count; and with count and three facets.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

from sqlite_utils import Database

from archiver.sqlite import open_reader
from benchmarks.harness import free_port, median, print_table, python, serving
from benchmarks.search import PAGE, Made, fill, timed

COLUMNS = ("number", "provider", "model", "state", "width", "height", "steps", "size_bytes")
ALL_THE_TIME = ("sql_time_limit_ms", "facet_time_limit_ms")


def copy(catalog: Path, target: Path) -> None:
    """The rows as a table for Datasette, under the names that it will be asked by."""
    database = Database(target, execute_plugins=False)
    source = open_reader(catalog)
    rows = source.execute(
        f"SELECT {', '.join(f'cards.{name}' for name in COLUMNS)}, prompt FROM cards"
        " JOIN texts USING (number)"
    )
    names = (*COLUMNS, "prompt")
    database.table("pictures", pk="number").insert_all(
        (dict(zip(names, row, strict=True)) for row in rows), batch_size=1000
    )
    database.table("pictures").enable_fts(["prompt"])
    for column in ("provider", "model", "state"):
        database.table("pictures").create_index([column])
    database.close()
    source.close()


def questions(made: Made) -> dict[str, Callable[[], str]]:
    """What both understand alike."""
    return {
        "the word of half the rows": lambda: "masterpiece",
        "a word": made.word,
        "two words": lambda: f"{made.word()} masterpiece",
    }


class Peer:
    """A server, asked over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port)

    def get(self, path: str) -> None:
        """Reads the whole answer."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == 200, path


class Peers:
    """Both, ready to be asked."""

    def __init__(self, holdfast: int, datasette: int) -> None:
        self._holdfast = Peer(holdfast)
        self._datasette = Peer(datasette)

    def ours(self, words: str, *, whole: bool) -> None:
        """A page, and what stands beside it if it is the whole."""
        asked = urlencode({"q": words, "limit": PAGE})
        self._holdfast.get(f"/api/v1/assets?{asked}")
        if whole:
            self._holdfast.get(f"/api/v1/facets?{asked}")

    def theirs(self, words: str, *, whole: bool) -> None:
        """The same."""
        asked = [("_search", words), ("_size", str(PAGE)), ("_sort_desc", "number")]
        if whole:
            asked += [("_facet", name) for name in ("provider", "model", "state")]
        self._datasette.get(f"/pictures/pictures.json?_shape=objects&{urlencode(asked)}")


def measure(peers: Peers, rounds: int) -> list[tuple[str, ...]]:
    """A row to each question and extent: our median, theirs, and the ratios'."""
    rows = []
    for kind, ask in questions(Made(4)).items():
        for whole in (False, True):
            ours, theirs = [], []
            for _ in range(rounds):
                words = ask()
                ours.append(timed(lambda words=words, whole=whole: peers.ours(words, whole=whole)))
                theirs.append(
                    timed(lambda words=words, whole=whole: peers.theirs(words, whole=whole))
                )
            ratios = [they / we for we, they in zip(ours, theirs, strict=True)]
            name = f"{kind}, with count and facets" if whole else kind
            rows.append(
                (name, f"{median(ours):.1f}", f"{median(theirs):.0f}", f"{median(ratios):.0f}x")
            )
    return rows


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = given.folder or scratch
        catalog = folder / f"search-{given.rows}.db"
        if not catalog.exists():
            fill(catalog, given.rows)
        copied = folder / f"datasette-{given.rows}" / "pictures.db"
        if not copied.exists():
            copied.parent.mkdir()
            copy(catalog, copied)
        ports = free_port(), free_port()
        settings = [word for name in ALL_THE_TIME for word in ("--setting", name, "600000")]
        served = (
            [python(), "-m", "benchmarks.peers.search_holdfast", catalog, ports[0]],
            [python(), "-m", "datasette", copied, "-p", ports[1], *settings],
        )
        here = {"PYTHONPATH": str(Path(__file__).parent.parent)}
        for command, port in zip(served, ports, strict=True):
            stack.enter_context(serving(command, port, environ=here, folder=scratch))
        time.sleep(1)  # for Datasette to have read its schema
        rows = measure(Peers(*ports), given.rounds)
    title = f"search among {given.rows:,} rows over HTTP, ms"
    print_table(title, ("query", "holdfast", "Datasette", "Datasette / holdfast"), rows)


if __name__ == "__main__":
    main()
