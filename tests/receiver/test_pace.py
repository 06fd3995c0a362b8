"""How often is asked: seldom enough for every provider, often enough for every link."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.pace import Pace, interval_seconds, wait_seconds
from tests.clocks import FrozenClock

NOW = FrozenClock()()


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1, exclude_max=True))
def test_the_older_the_seldomer_within_bounds(one: float, other: float, jitter: float) -> None:
    """From seconds to a quarter of an hour, never more than half as much again by chance."""
    younger, older = sorted((one, other))

    assert interval_seconds(younger, jitter) <= interval_seconds(older, jitter)
    assert 2.25 <= interval_seconds(one, jitter) <= 1125


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "99999999"}, 3600),
        ({"Retry-After": "7", "X-RateLimit-Reset": "30"}, 7),
        ({"X-RateLimit-Reset": "30"}, 30),
        ({"X-RateLimit-Reset": str(NOW.timestamp() + 45)}, 45),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp() * 1000) + 45_000)}, 45),
        ({"X-RateLimit-Reset": "2020-01-01T00:00:00Z"}, 1),
        ({"X-RateLimit-Reset": (NOW.replace(tzinfo=None)).isoformat()}, 1),
        ({"X-RateLimit-Reset": "99999999999999999"}, 3600),
        ({"X-RateLimit-Reset": "soon"}, None),
        ({"X-RateLimit-Reset": "-5"}, None),
        ({"X-RateLimit-Reset": "nan"}, None),
        ({"X-RateLimit-Reset": "12345678"}, None),
    ],
)
def test_what_a_provider_asks_for(headers: dict[str, str], expected: float | None) -> None:
    """In any of the ways that its document may have meant."""
    waits = wait_seconds(headers, NOW)

    assert waits == (None if expected is None else pytest.approx(expected, abs=0.01))


def test_turns_are_given_at_the_rate_and_no_faster() -> None:
    """Each account has its own; a turn too far off is not taken."""
    pace = Pace()
    delays = [pace.delay_seconds("a", 4, 100.0, patience_seconds=0.6) for _ in range(5)]

    assert delays == [0, 0.25, 0.5, 0.75, 0.75]
    assert pace.delay_seconds("b", 4, 100.0, patience_seconds=0.6) == 0
    assert pace.delay_seconds("a", 4, 200.0, patience_seconds=0.6) == 0


def test_an_account_that_must_rest_is_not_asked_for() -> None:
    """Not before then, and afterwards at its rate."""
    pace = Pace()
    pace.rest("a", 130.0)
    pace.rest("a", 110.0)

    assert pace.delay_seconds("a", 2, 100.0, patience_seconds=1) == 30
    assert pace.delay_seconds("a", 2, 130.0, patience_seconds=1) == 0
    assert pace.delay_seconds("a", 2, 130.0, patience_seconds=1) == 0.5
