"""Finding slots by words: what a person types finds what it should, and never breaks anything."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from archiver.cards import card_of
from archiver.catalog import Tables
from archiver.ledger import keep
from archiver.models import SlotObservation
from archiver.query import QueryError, parse
from archiver.search import CursorError, Page, find, search
from archiver.segment import segment
from tests.archiver.catalog.scratch import scratch
from tests.archiver.generated import joined, linked, succeeded
from tests.clocks import NOON

PROMPTS = {
    "black": "A black cat, 8k (masterpiece:1.2)",
    "white": "a white cat and a black dog",
    "tank": "少女戦車と赛博朋克的城市",
    "seal": "แมวน้ำ on the ice",
    "words": "to be OR NOT to be",
}
# What FTS5 would read as syntax if it ever saw it as anything but words.
SYNTAX = [
    '"', '""', '"cat', "cat*", "^cat", "prompt:cat", "{prompt neg}:cat", "- prompt:cat",
    "cat + dog", "NEAR(cat dog)", "NEAR(cat dog, 5)", "cat AND", "AND", "OR", "NOT", "NOT cat",
    "cat OR dog", "(cat", "cat)", "()", "'; DROP TABLE texts; --", "cat\0dog", "\0", "\\", "%",
    "_", "?", ":x", "cat" * 9999, "cat " * 9999, "猫" * 9999,
]  # fmt: skip


@pytest.fixture
def archive(tables: Tables) -> Tables:
    """A catalog in which each of `PROMPTS` is the prompt of the generation of that id."""
    for generation_id, prompt in PROMPTS.items():
        keep(tables, None, linked(generation_id, prompt=prompt), now=NOON)
    return tables


def asked(tables: Tables, text: str, *, limit: int = 99, cursor: str | None = None) -> Page:
    """One page of what a person's text finds."""
    return search(tables, parse(text, now=NOON), cursor=cursor, limit=limit)


def found(tables: Tables, words: str) -> set[str]:
    """The ids of what these words find."""
    return {hit.card.generation_id for hit in asked(tables, words).hits}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("cat", {"black", "white"}),
        ("BLACK Cat", {"black", "white"}),
        ("cat dog", {"white"}),
        ("8k", {"black"}),
        ("masterpiece", {"black"}),
        ("ca", set()),
        ("horse", set()),
        ("", set(PROMPTS)),
        (" ,.!", set()),
        ("女", {"tank"}),
        ("少女", {"tank"}),
        ("戦車", {"tank"}),
        ("女戦", {"tank"}),
        ("少車", set()),
        ("赛博朋克", {"tank"}),
        ("城市 少女", {"tank"}),
        ("แมว", {"seal"}),
        ("น้ำ ice", {"seal"}),
        ("doitong", set(PROMPTS)),
        ("white", {"white"}),
        ("2026-11-21", set(PROMPTS)),
        ("2026-11-22", set()),
        ("or not", {"words"}),
        ("cat OR dog", {"black", "white"}),
        ("cat -dog", {"black"}),
        ("hors* OR blac*", {"black", "white"}),
        ("provider:doitong 少女", {"tank"}),
        ("-provider:doitong", set()),
    ],
)
def test_words_find_slots(archive: Tables, words: str, expected: set[str]) -> None:
    """Every word must occur; one of a script without spaces as a run; id, provider and date too."""
    assert expected == found(archive, words)


@pytest.mark.parametrize("words", SYNTAX)
def test_no_syntax_comes_through(archive: Tables, words: str) -> None:
    """Whatever FTS5 would make of it, it is a query of ours, or wrong as one."""
    with suppress(QueryError):
        assert found(archive, words) <= set(PROMPTS)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(st.characters(exclude_categories=["Cs"])), anything=st.text())
@example(text='say "NEAR(cat)" OR prompt:x', anything='"')
def test_any_prompt_is_found_by_its_own_words(migrated: Path, text: str, anything: str) -> None:
    """Whatever a prompt is made of, asking for it finds it; whatever is asked, nothing breaks."""
    words = segment(text)
    with scratch(migrated) as tables:
        keep(tables, None, linked("1", prompt=text), now=NOON)
        assert found(tables, f'prompt:"{words}"') == ({"1"} if words else set())
        with suppress(QueryError):
            asked(tables, anything)


def test_pages_meet_each_hit_once_newest_first(archive: Tables) -> None:
    """The cursor goes on below the last hit, and is None at the end."""
    first = asked(archive, "a", limit=1)
    second = asked(archive, "a", cursor=first.cursor, limit=1)
    pages = [[hit.card.generation_id for hit in page.hits] for page in (first, second)]
    assert pages == [["white"], ["black"]]
    assert second.cursor is None
    everything = asked(archive, "", limit=5)
    assert (len(everything.hits), everything.cursor) == (5, None)


def test_what_arrives_meanwhile_shifts_no_page(archive: Tables) -> None:
    """A keyset page stands still while newer slots come in above it."""
    first = asked(archive, "", limit=2)
    keep(archive, None, linked("newest"), now=NOON)
    second = asked(archive, "", cursor=first.cursor)
    ids = [hit.card.generation_id for hit in (*first.hits, *second.hits)]
    assert ids == [*reversed(PROMPTS)]


def test_each_slot_of_a_generation_is_a_hit_of_its_own(tables: Tables) -> None:
    """By its archive number, with the card that the slot itself would have."""
    three = tuple(SlotObservation(index=index) for index in range(3))
    heard = joined(None, replace(succeeded("1", prompt="cats"), slots=three))
    kept = keep(tables, None, heard, now=NOON)
    hits = asked(tables, "cats").hits
    assert [(hit.card, hit.prompt) for hit in hits] == [
        (card_of(kept, slot), "cats") for slot in reversed(kept.slots)
    ]
    assert find(tables, hits[0].card.number) == (kept, kept.slots[2])
    assert find(tables, 999) is None


@pytest.mark.parametrize(
    "cursor", ["", "x", "-1", "1.1", "1" * 30, "1\n", "٣", "99999999999999999999"]
)
def test_a_cursor_of_nobodys_is_refused(archive: Tables, cursor: str) -> None:
    """With a sentence, before anything is looked for."""
    with pytest.raises(CursorError, match="a page of this search gave"):
        asked(archive, "cat", cursor=cursor)


@pytest.mark.parametrize("order", ["newest", "oldest", "relevance", "bytes", "cost"])
def test_the_cursor_of_one_order_breaks_no_other(archive: Tables, order: str) -> None:
    """It is refused, or goes on somewhere."""
    for cursor in ("3", "-1.3", "7.3"):
        with suppress(CursorError):
            assert len(asked(archive, f"a sort:{order}", cursor=cursor).hits) <= len(PROMPTS)
