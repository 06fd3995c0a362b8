"""Every law holds of all that is kept, and each can break."""

from __future__ import annotations

import pytest

from tests.fuzz.target import PLANTED, breaks, corpus, load, names


@pytest.mark.parametrize("name", names())
def test_what_was_found_once_breaks_no_law(name: str) -> None:
    """Each file of a corpus led into a room of its own, or broke the law before it was mended."""
    law = load(name).law
    for path in corpus(name):
        try:
            law(path.read_bytes())
        except Exception as error:
            error.add_note(f"the law of {path}")
            raise


@pytest.mark.parametrize("name", names())
def test_a_law_breaks_where_a_safeguard_is_away(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would say nothing: with one line of the reader gone, its corpus breaks it."""
    target = load(name)
    away = target.sabotage
    monkeypatch.setattr(away.owner, away.name, away.instead)
    assert breaks(name)


def test_the_planted_bug_is_there() -> None:
    """By which it is seen that the fuzzer finds what nobody told it."""
    with pytest.raises(ValueError, match="planted"):
        load(PLANTED).law(b":a\xc3\x28\x7b")
