"""What people type to find pictures, and the cursors that they send back."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from archiver.catalog import Tables
from archiver.ledger import keep
from archiver.lifecycle import archive
from archiver.models import GenerationParams
from archiver.query import Query, QueryError, parse, parser
from archiver.query.fields import FIELDS
from archiver.search import CursorError, count, overview, search
from tests.archiver.generated import joined, linked, succeeded
from tests.archiver.heard import asset
from tests.archiver.query.test_any_text import PIECES
from tests.clocks import NOON
from tests.fuzz.shelf import new_shelf
from tests.fuzz.target import Sabotage, Target

PROMPTS = ("A black cat, 8k (masterpiece:1.2)", "少女戦車と赛博朋克", "แมวน้ำ on the ice", "a OR b")


@cache
def archived() -> Tables:
    """A catalog with a few slots in it."""
    tables = new_shelf()
    for number, prompt in enumerate(PROMPTS):
        known = linked(f"7f3a-{number}", prompt=prompt)
        keep(tables, None, archive(known, 0, asset()) if number % 2 else known, now=NOON)
    asked = GenerationParams(prompt="a fox", width=512, steps=30, guidance_scale=7.5, seed=42)
    keep(tables, None, joined(None, replace(succeeded("81"), params=asked)), now=NOON)
    return tables


def law(data: bytes) -> None:
    """A text is carried out by a real index or refused at a place in it; the pages are the whole.

    A line of its own before the text is a cursor.
    """
    cursor, line, text = data.decode("utf-8", "surrogateescape").rpartition("\n")
    try:
        query = parse(text, now=NOON)
    except QueryError as error:
        assert 0 <= error.position < len(text)
        assert str(error).isascii()
        return
    assert query == parse(text, now=NOON)
    assert all(0 <= hint.position < len(text) for hint in query.hints)
    tables = archived()
    if line:
        try:
            assert len(search(tables, query, cursor=cursor, limit=2).hits) <= 2
        except CursorError as error:
            assert "cursor must be one" in str(error)
    hits = paged(tables, query)
    assert count(tables, query).number == len(set(hits)) == len(hits)
    assert overview(tables, query)[0].number == len(hits)


def paged(tables: Tables, query: Query) -> list[int]:
    """The numbers of all that is found, page by page, which is the same as in one."""
    numbers: list[int] = []
    cursor: str | None = None
    for _ in range(9):
        page = search(tables, query, cursor=cursor, limit=2)
        numbers += [hit.card.number for hit in page.hits]
        if (cursor := page.cursor) is None:
            break
    whole = search(tables, query, limit=99)
    assert (whole.cursor, cursor) == (None, None)
    assert numbers == [hit.card.number for hit in whole.hits]
    return numbers


TARGET = Target(
    law=law,
    sabotage=Sabotage(says="bounding the brackets", owner=parser, name="MAX_DEPTH", instead=999),
    words=(
        *(f"{name}:{field.examples[0]} ".encode() for name, field in FIELDS.items()),
        *(piece.encode("utf-8", "surrogatepass") for piece in PIECES if 0 < len(piece) < 60),
        *(f"sort:{order} ".encode() for order in ("oldest", "relevance", "bytes", "cost")),
    ),
)
