"""Finding slots by words: what a person types finds what it should, and never breaks anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from archiver.catalog import Tables
from archiver.ledger import keep
from archiver.models import SlotObservation
from archiver.search import find, match_expression, search
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


def found(tables: Tables, words: str) -> set[str]:
    """The ids of what these words find."""
    page = search(tables, words, cursor=None, limit=99)
    return {hit.generation.id for hit in page.hits}


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
        ("NOT", {"words"}),
        ("cat OR dog", set()),
    ],
)
def test_words_find_slots(archive: Tables, words: str, expected: set[str]) -> None:
    """Every word must occur; one of a script without spaces as a run; id, provider and date too."""
    assert expected == found(archive, words)


@pytest.mark.parametrize("words", SYNTAX)
def test_no_syntax_comes_through(archive: Tables, words: str) -> None:
    """Operators, quotes and columns are words like any other, or nothing."""
    assert found(archive, words) <= set(PROMPTS)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(st.characters(exclude_categories=["Cs"])), asked=st.text())
@example(text='say "NEAR(cat)" OR prompt:x', asked='"')
def test_any_prompt_is_found_by_its_own_words(migrated: Path, text: str, asked: str) -> None:
    """Whatever a prompt is made of, asking for it finds it; whatever is asked, nothing breaks."""
    nothing_to_ask = text.strip() and not match_expression(text)
    with scratch(migrated) as tables:
        keep(tables, None, linked("1", prompt=text), now=NOON)
        assert found(tables, text) == (set() if nothing_to_ask else {"1"})
        search(tables, asked, cursor=None, limit=9)


def test_what_cannot_be_searched_for_asks_for_nothing() -> None:
    """Signs alone make an empty expression, and words only quoted ones."""
    assert match_expression("?! «»") == ""
    assert match_expression('Say "NEAR" 猫犬') == '"say" AND "near" AND "猫 犬"'


def test_pages_meet_each_hit_once_newest_first(archive: Tables) -> None:
    """The cursor goes on below the last hit, and is None at the end."""
    first = search(archive, "a", cursor=None, limit=1)
    second = search(archive, "a", cursor=first.cursor, limit=1)
    pages = [[hit.generation.id for hit in page.hits] for page in (first, second)]
    assert pages == [["white"], ["black"]]
    assert second.cursor is None
    everything = search(archive, "", cursor=None, limit=5)
    assert (len(everything.hits), everything.cursor) == (5, None)


def test_what_arrives_meanwhile_shifts_no_page(archive: Tables) -> None:
    """A keyset page stands still while newer slots come in above it."""
    first = search(archive, "", cursor=None, limit=2)
    keep(archive, None, linked("newest"), now=NOON)
    second = search(archive, "", cursor=first.cursor, limit=9)
    ids = [hit.generation.id for hit in (*first.hits, *second.hits)]
    assert ids == [*reversed(PROMPTS)]


def test_a_hit_is_the_slot_with_all_around_it(tables: Tables) -> None:
    """Each slot of a generation is a hit of its own, by its archive number."""
    three = tuple(SlotObservation(index=index) for index in range(3))
    heard = joined(None, replace(succeeded("1", prompt="cats"), slots=three))
    kept = keep(tables, None, heard, now=NOON)
    hits = search(tables, "cats", cursor=None, limit=9).hits
    assert [hit.slot.index for hit in hits] == [2, 1, 0]
    assert [(hit.number, hit.generation) for hit in hits] == [
        (slot.number, kept) for slot in reversed(kept.slots)
    ]
    assert hits[0] == find(tables, hits[0].number)
    assert find(tables, 999) is None
