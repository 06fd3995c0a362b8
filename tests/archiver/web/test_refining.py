"""Changing what was typed: more of it, less of it, in another order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.facets import token
from archiver.query import Query, QueryError, Sort, parse
from archiver.query.tree import NOTHING, Facet, conjunction
from archiver.web.refining import Refining, condition

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PIECES = ["fox", "wolf", "OR", "|", "(", ")", "-", '"', "provider:bfl", "AND", "sort:oldest", ","]
PIECES += ["steps:20..30", "-blurry", '"golden hour"', "少女", "model:a,b", "state:", "5*", "« »"]
TYPED = st.lists(st.sampled_from(PIECES)).map(" ".join) | st.text(max_size=20)


def read(text: str) -> Query | None:
    """What a text asks for; None if it is wrong."""
    try:
        return parse(text, now=NOW)
    except QueryError:
        return None


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        ("flux-pro-1.1", "model:flux-pro-1.1"),
        ("two words", 'model:"two words"'),
        ("a,b", 'model:"a,b"'),
        ("star*", 'model:"star*"'),
        ("(x)", 'model:"(x)"'),
        ("少女", "model:少女"),
        ('5" lens', None),
        ("「x」", None),
        ("", None),
    ],
)
def test_values_are_written_as_they_have_to_be(value: str, typed: str | None) -> None:
    """In quotes where they need them; what quotes cannot hold is not offered."""
    assert condition("model", value, now=NOW) == typed


@given(value=st.text(max_size=12))
@settings(max_examples=60)
def test_a_written_value_asks_for_that_value(value: str) -> None:
    """Whatever it holds, it is read as one condition, and as no other."""
    typed = condition("model", value, now=NOW)
    assert typed is None or parse(typed, now=NOW).tree == Facet(token=token("model", value))


@pytest.mark.parametrize(
    ("text", "refined"),
    [
        ("", "origin:fallback"),
        ("red fox", "red fox origin:fallback"),
        ("fox OR wolf", "origin:fallback (fox OR wolf)"),
        ("(fox OR wolf)", "(fox OR wolf) origin:fallback"),
        ('a "red fox', 'origin:fallback (a "red fox)'),
        ("steps:many", "steps:many origin:fallback"),
    ],
)
def test_a_condition_is_added_where_it_holds_for_all(text: str, refined: str) -> None:
    """Behind what was typed where that does, else before it."""
    assert Refining(text, now=NOW).with_condition("origin:fallback") == refined


@given(text=TYPED)
@settings(max_examples=200)
def test_what_is_found_then_is_what_was_found_and_is_so(text: str) -> None:
    """A refined query asks for both, and the same order."""
    before, after = read(text), read(Refining(text, now=NOW).with_condition("origin:fallback"))
    if before is None or before.tree == NOTHING:
        return
    added = Facet(token=token("origin", "fallback"))
    assert after is not None
    both = {conjunction([before.tree, added]), conjunction([added, before.tree])}
    assert (after.tree in both, after.sort) == (True, before.sort)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("fox provider:bfl snow", "fox snow"),
        ("provider:BFL", ""),
        ('fox AND provider:"bfl"', "fox AND"),
        ("provider:bfl fox provider:bfl", "fox"),
        ("fox", None),
        ("-provider:bfl", None),
        ("provider:bfl,dall-e", None),
        ("provider:bf*", None),
        ("(provider:bfl fox)", None),
        ("provider:bfl OR fox", None),
    ],
)
def test_a_condition_is_taken_away_again(text: str, left: str | None) -> None:
    """Only where it stands alone and for all: what else there is stays as it was typed."""
    assert Refining(text, now=NOW).without_condition("provider", "bfl") == left


@given(text=TYPED)
@settings(max_examples=200)
def test_what_was_taken_away_can_be_put_back(text: str) -> None:
    """What is left asks for the same, but for that condition."""
    left = Refining(text, now=NOW).without_condition("provider", "bfl")
    before = read(text)
    if left is None or before is None:
        return
    after = read(left)
    assert after is not None
    rest = [] if after.tree == NOTHING else [after.tree]
    assert _parts(conjunction([*rest, Facet(token=token("provider", "bfl"))])) == _parts(
        before.tree
    )


def _parts(tree: object) -> frozenset[object]:
    return frozenset(getattr(tree, "parts", (tree,)))


@given(text=TYPED, sort=st.sampled_from(Sort))
@settings(max_examples=200)
def test_the_order_is_the_one_asked_for_and_all_else_the_same(text: str, sort: Sort) -> None:
    """Whatever order was typed before, and wherever."""
    before, after = read(text), read(Refining(text, now=NOW).sorted_by(sort))
    if before is None:
        return
    assert after is not None
    assert (after.tree, after.sort) == (before.tree, sort)
