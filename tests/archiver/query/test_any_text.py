"""No text can break a query, or get into the index's own language."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from archiver.cards import MAX_NUMBER
from archiver.query import (
    And,
    Condition,
    Matches,
    Not,
    Or,
    Plan,
    QueryError,
    Range,
    parse,
    plan,
)
from archiver.query.fields import FIELDS
from archiver.query.match import expression
from archiver.query.parser import MAX_DEPTH
from tests.archiver.query.archive import Archive
from tests.archiver.query.made_up import rows
from tests.clocks import NOON

ANY_TEXT = st.text(st.characters(exclude_categories=()))
# What means something here, in FTS5 or in SQL, or is more than one character to somebody.
SYNTAX = """
    OR AND NOT NEAR( NEAR(a,2) facets: all none .. >= < ≤ -- cat held image/png 2GB 0.1 1e9
    猫 แม ガ カ\u3099 👩\u200d🚀 🇮 e\u0301 İ ﷺ ﬁ ½ ² ① ſ \u202e \ufeff \u0301 \ud83d \udfff \0 ; %
    " ' * : 1024x1536 2026 2026-13 0000 9999-12-31 0001-01-01 7d 999999y 999999mo 999999w 9f86
    ( ) | - （ ）： ｜ ＊ “
"""
PIECES = [
    *SYNTAX.split(),
    *(f"{name}:" for name in FIELDS),
    *(f"{sign}{number}" for number in (2**63 - 1, 2**63, 2**70, 10**400) for sign in ("", "-")),
    *[" ", "\x1f", "\u3000", "f" * 64, "f" * 65, "x" * 300],
]
TYPED = st.lists(st.sampled_from(PIECES) | ANY_TEXT.map(lambda text: text[:3]), max_size=12)


@pytest.fixture(scope="module")
def archive() -> Archive:
    """An archive to ask."""
    archive = Archive()
    archive.fill(told.row for told in rows(0, 10))
    return archive


@settings(max_examples=300)
@given(text=ANY_TEXT | TYPED.map("".join) | TYPED.map(" ".join))
@example(text="(" * 10_000 + ")" * 10_000)
@example(text="-(" * 10_000)
@example(text='"' * 100_001)
@example(text="cat " * 25_000)
@example(text="猫" * 33_000)
@example(text="x" * 100_000)
@example(text="model:" + "," * 100_000)
@example(text=f"id:{2**70} seed:>{2**70} bytes:<-{2**70} width:{2**70}")
@example(text="created:<0001-01-01 archived:>9999-12-31T23:59:59 completed:0001-01-01T00:00+14:00")
@example(text=" ".join(f"w{number}" for number in range(1000)))
@example(text=" OR ".join(f"-w{number}" for number in range(1000)))
@example(text=f'"{"w " * 1000}"')
@example(text="-(a | " * MAX_DEPTH + "b")
@example(text="-(a steps:>1 OR " * MAX_DEPTH + "b")
def test_any_text_is_a_query_or_says_what_is_wrong(archive: Archive, text: str) -> None:
    """It is carried out by a real index, or refused at a place within it."""
    try:
        query = parse(text, now=NOON)
    except QueryError as error:
        positions, sentences = [error.position], [str(error)]
    else:
        positions = [hint.position for hint in query.hints]
        sentences = [hint.sentence for hint in query.hints]
        for known in ({}, {"width": [512, 1024], "steps": [20, 30]}):
            carry_out(archive, plan(query, known=known))
    assert all(0 <= position < len(text) for position in positions)
    assert all(sentence.isascii() for sentence in sentences)


def carry_out(archive: Archive, asked: Plan) -> None:
    """Asks a real index for all that the plan asks, each part by itself, too."""
    archive.found(asked)
    if asked.match is not None:
        archive.matched(asked.match)
    for condition in asked.conditions:
        ask(archive, condition)


def ask(archive: Archive, condition: Condition) -> None:
    """Asks for one condition."""
    match condition:
        case And() | Or():
            for part in condition.parts:
                ask(archive, part)
        case Not():
            ask(archive, condition.part)
        case Matches():
            archive.matched(condition.node)
        case Range():
            bounds = (condition.low, condition.high)
            assert all(abs(it) <= MAX_NUMBER for it in bounds if isinstance(it, int))


@given(text=ANY_TEXT)
def test_quoted_text_asks_for_itself(text: str) -> None:
    """Whatever stands between two quotes is words in their order, and nothing else."""
    text = "".join(character for character in text if character not in '"“”„‟〝〞〟«»「」『』＂')
    query = parse(f'"{text}"', now=NOON)
    asked = plan(query).match
    written = "" if asked is None else expression(asked).removeprefix("{prompt about} : ")
    assert plan(query).conditions == query.hints[1:] == ()
    assert written.count('"') in (0, 2)
