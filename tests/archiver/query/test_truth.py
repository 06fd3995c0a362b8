"""What a query finds is what it means: every plan against plain predicates, in a real index."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.query import parse, plan
from tests.archiver.query.archive import Archive
from tests.archiver.query.made_up import rows
from tests.archiver.query.scripts import SCRIPTS, Word
from tests.archiver.query.truth import QUERIES, Asked, Typed
from tests.clocks import NOON

ARCHIVES = 6


class Filled:
    """One archive of made-up rows."""

    def __init__(self, seed: int) -> None:
        self.told = rows(seed, 40)
        self.archive = Archive()
        self.known = self.archive.fill(told.row for told in self.told)

    def meant(self, asked: Asked) -> set[int]:
        """The numbers of the rows that it holds for."""
        return {told.row.card.number for told in self.told if asked.holds(told)}

    def found(self, asked: Asked, known: Mapping[str, Collection[float]]) -> set[int]:
        """The numbers of the rows that are found."""
        return self.archive.found(plan(parse(asked.written, now=NOON), known=known))


@pytest.fixture(scope="module")
def archives() -> list[Filled]:
    """Several archives, no two alike."""
    return [Filled(seed) for seed in range(ARCHIVES)]


@settings(max_examples=300)
@given(asked=QUERIES, which=st.integers(0, ARCHIVES - 1))
def test_a_query_finds_what_it_means(archives: list[Filled], asked: Asked, which: int) -> None:
    """Words, fields, ranges, OR and NOT find exactly the rows for which they hold.

    It makes no difference whether the values that there are of a column are known.
    """
    filled = archives[which]
    assert filled.meant(asked) == filled.found(asked, {}) == filled.found(asked, filled.known)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_found(archives: list[Filled], script: str) -> None:
    """A word in any way of writing, a stretch of unspaced ones and a beginning of others."""
    for typed in (typed for word in SCRIPTS[script] for typed in _ways_to_ask(word)):
        asked = Asked(f"prompt:{typed.written}", typed.within(["prompt"]))
        found = [filled.found(asked, {}) for filled in archives]
        assert found == [filled.meant(asked) for filled in archives], asked.written
        assert any(found), asked.written


def _ways_to_ask(word: Word) -> Iterator[Typed]:
    for written in word.written:
        yield Typed(written, word.units)
    if word.spaced:
        for length in range(2, len(word.units[0]) + 1):
            shown = word.units[0][:length]
            yield Typed(f"{shown}*", (shown,), prefix=True)
    else:
        for begin in range(len(word.units)):
            for end in range(begin + 1, len(word.units) + 1):
                yield Typed("".join(word.units[begin:end]), word.units[begin:end])
