"""The words of slots in their index, in step with the table."""

from __future__ import annotations

import pytest

from archiver.catalog import Tables
from archiver.catalog.texts import Words
from archiver.query import And, Plan
from archiver.query.tree import Facet, Node, Text
from tests.archiver.generated import linked


def words(number: int, prompt: str, *, neg: str = "dog", facets: str = "all") -> Words:
    """What one slot is found by."""
    return Words(number=number, prompt=prompt, neg=neg, about="doitong", facets=facets)


def word(token: str) -> Text:
    """That word, wherever it stands."""
    return Text(columns=("prompt", "neg", "about"), tokens=(token,))


@pytest.fixture
def numbers(tables: Tables) -> list[int]:
    """Archive numbers of seven slots, oldest first, all found by "cat"."""
    numbers = []
    for generation_id in range(7):
        (slot,) = tables.generations.save(None, linked(str(generation_id))).slots
        assert slot.number is not None
        numbers.append(slot.number)
        tables.texts.put([words(slot.number, f"cat n{generation_id}")])
    return numbers


def found(tables: Tables, *asked: Node) -> list[int]:
    """The numbers of the rows with all that is asked, newest first."""
    steps = tables.walks.steps(Plan(match=And(parts=asked)), beyond=None, limit=99)
    return [number for step in steps for number in step.numbers]


@pytest.mark.parametrize("tables", ["sqlite"], indirect=True)
def test_a_new_text_leaves_no_hit_of_the_old(tables: Tables, numbers: list[int]) -> None:
    """The index forgets what the table forgets, and finds what it has learned."""
    tables.texts.put([words(numbers[3], "horse", neg="")])
    assert found(tables, word("n3")) == []
    assert found(tables, word("horse")) == [numbers[3]]
    assert [number for number in numbers[::-1] if number != numbers[3]] == found(
        tables, word("cat")
    )
    assert numbers[3] not in found(tables, word("dog"))
    tables.connection.execute("INSERT INTO texts_fts (texts_fts) VALUES ('integrity-check')")


@pytest.mark.parametrize("tables", ["sqlite"], indirect=True)
def test_many_are_written_at_once(tables: Tables, numbers: list[int]) -> None:
    """Some that are new in their words and some that are not; none at all is no error."""
    tables.texts.put([words(number, f"cat n{number % 2}") for number in numbers])
    tables.texts.put([])
    odd = [number for number in reversed(numbers) if number % 2]
    assert odd == found(tables, word("n1"))
    tables.connection.execute("INSERT INTO texts_fts (texts_fts) VALUES ('integrity-check')")


@pytest.mark.parametrize("tables", ["sqlite"], indirect=True)
def test_the_same_text_again_touches_nothing(tables: Tables, numbers: list[int]) -> None:
    """What is heard again rewrites no index."""
    changes = []
    for prompt in ("cat n0", "cat n0", "cat n0 too"):
        before = tables.connection.total_changes
        tables.texts.put([words(numbers[0], prompt)])
        changes.append(tables.connection.total_changes - before)
    assert changes[1] == 0  # the first one also writes out what the index held in memory
    assert changes[2] > 0


@pytest.mark.parametrize("tables", ["sqlite"], indirect=True)
def test_new_tokens_leave_the_words(tables: Tables, numbers: list[int]) -> None:
    """Some slots are labelled anew at once: found by the new tokens, by the old ones no more."""
    tables.texts.label([(number, f"all state_{number % 2}") for number in numbers])
    tables.texts.label([(numbers[0], "all state_x_2d_y")])
    tables.texts.label([])
    odd = [number for number in reversed(numbers[1:]) if number % 2]
    assert odd == found(tables, Facet(token="state_1"))
    assert found(tables, Facet(token="state_x_2d_y"), word("cat")) == [numbers[0]]
    assert found(tables, Facet(token="state")) == []
    tables.connection.execute("INSERT INTO texts_fts (texts_fts) VALUES ('integrity-check')")
