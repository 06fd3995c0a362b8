"""Joins care neither for order, nor for grouping, nor for repetition."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.joins import earliest, greatest, join_params, worst
from archiver.models import Failure, FailureClass, GenerationParams
from tests.archiver.heard import FAILURES, MOMENTS, PARAMS, RECEIVED_AT

Join = Callable[[Any, Any], Any]

TEXTS = st.none() | st.text()
NUMBERS = st.none() | st.integers() | st.floats(allow_nan=False)
# Each join with the values that it joins and the value that says nothing.
JOINS: dict[str, tuple[Join, st.SearchStrategy[Any], Any]] = {
    "earliest": (earliest, st.none() | MOMENTS, None),
    "greatest text": (greatest, TEXTS, None),
    "greatest number": (greatest, NUMBERS, None),
    "worst": (worst, st.none() | FAILURES, None),
    "join_params": (join_params, PARAMS, GenerationParams()),
}


@pytest.mark.parametrize(("join", "values", "nothing"), JOINS.values(), ids=JOINS)
class TestEveryJoin:
    """The laws of a semilattice, on which `lifecycle.merge` rests."""

    @given(data=st.data())
    def test_laws(
        self, join: Join, values: st.SearchStrategy[Any], nothing: Any, data: st.DataObject
    ) -> None:
        """Commutative, associative, idempotent, and nothing known adds nothing."""
        one, two, three = (data.draw(values) for _ in range(3))

        assert join(one, two) == join(two, one)
        assert join(one, join(two, three)) == join(join(one, two), three)
        assert join(one, one) == one
        assert join(one, nothing) == one


def test_the_earlier_of_two_times() -> None:
    """A time is only ever moved forward, to the safer side."""
    later = RECEIVED_AT.replace(hour=23)

    assert earliest(later, RECEIVED_AT) == RECEIVED_AT


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (None, None, None),
        (1, None, 1),
        (512, 1024, 1024),
        (0, None, 0),
        ("sd-2.1", "sd-xl", "sd-xl"),
    ],
)
def test_the_greater_of_two_values(one: Any, other: Any, expected: Any) -> None:
    """What is known, zero too; of two that contradict each other always the same one."""
    assert greatest(one, other) == expected


def test_failures_are_ranked_by_what_they_permit() -> None:
    """Policy permits nothing at all, a transient failure nearly everything."""
    order = ["transient", "renderable", "dead", "operator", "policy"]
    failures = [Failure(failure_class=FailureClass(name)) for name in order]

    for milder, graver in pairwise(failures):
        assert worst(graver, milder) == graver
    assert worst(*failures) == failures[-1]
    assert worst() is None


def test_params_are_joined_field_by_field() -> None:
    """The webhook knows the version, the request the prompt: together they know both."""
    webhook = GenerationParams(version="sd-xl", width=512)
    request = GenerationParams(prompt="A lighthouse", width=1024)
    both = GenerationParams(prompt="A lighthouse", version="sd-xl", width=1024)

    assert join_params(webhook, request) == both
