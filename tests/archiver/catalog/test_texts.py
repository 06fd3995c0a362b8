"""The words of slots in their index: in step with the table, newest first, in pages."""

from __future__ import annotations

import pytest

from archiver.catalog import Tables
from archiver.catalog.texts import Words
from tests.archiver.generated import linked


def words(number: int, prompt: str, *, neg: str = "dog") -> Words:
    """What one slot is found by."""
    return Words(number=number, prompt=prompt, neg=neg, about="doitong")


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


@pytest.mark.parametrize("match", ["cat", "", "doitong", "cat AND dog"])
def test_pages_are_newest_first_and_without_gaps(
    tables: Tables, numbers: list[int], match: str
) -> None:
    """Going on below the last number of a page meets each match once, as does asking for all."""
    pages: list[list[int]] = []
    before: int | None = None
    for _ in range(4):
        pages.append(tables.texts.page(match, before=before, limit=3))
        before = pages[-1][-1] if pages[-1] else before
    newest = numbers[::-1]
    assert [newest[:3], newest[3:6], newest[6:], []] == pages


def test_a_new_text_leaves_no_hit_of_the_old(tables: Tables, numbers: list[int]) -> None:
    """The index forgets what the table forgets, and finds what it has learned."""

    def found(match: str) -> list[int]:
        return tables.texts.page(match, before=None, limit=9)

    tables.texts.put([words(numbers[3], "horse", neg="")])
    assert found("n3") == []
    assert found("horse") == [numbers[3]]
    assert [number for number in numbers[::-1] if number != numbers[3]] == found("cat")
    assert numbers[3] not in found("dog")
    tables.connection.execute("INSERT INTO texts_fts (texts_fts) VALUES ('integrity-check')")


def test_many_are_written_at_once(tables: Tables, numbers: list[int]) -> None:
    """Some that are new in their words and some that are not; none at all is no error."""
    tables.texts.put([words(number, f"cat n{number % 2}") for number in numbers])
    tables.texts.put([])
    odd = [number for number in reversed(numbers) if number % 2]
    assert odd == tables.texts.page("n1", before=None, limit=9)
    tables.connection.execute("INSERT INTO texts_fts (texts_fts) VALUES ('integrity-check')")


def test_the_same_text_again_touches_nothing(tables: Tables, numbers: list[int]) -> None:
    """A change of state rewrites no index."""
    changes = []
    for prompt in ("cat n0", "cat n0", "cat n0 too"):
        before = tables.connection.total_changes
        tables.texts.put([words(numbers[0], prompt)])
        changes.append(tables.connection.total_changes - before)
    assert changes[1] == 0  # the first one also writes out what the index held in memory
    assert changes[2] > 0
