"""The criterion of the soak: what rises is seen, and what only goes up and down is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.torture.gauges import Reading, growth


@pytest.mark.parametrize(
    ("value", "risen", "mean"),
    [
        (lambda second: 50.0, 0.0, 50.0),
        (lambda second: 10.0 + second / 5, 19.8, 19.9),
        (lambda second: 50.0 - second / 10, -9.9, 45.05),
        (lambda second: 50.0 + (second % 10), 0.0, 54.5),
        (lambda second: 90.0 + 30 * (second in {55, 70, 85, 86, 98}), 0.0, 91.5),
        (lambda second: 10.0 + second / 5 + 30 * (second % 7 == 1), 19.8, 24.1),
    ],
    ids=["flat", "rising", "falling", "up and down", "met by chance", "rising beneath"],
)
def test_a_rise_is_that_of_the_line_through_the_lows(
    value: Callable[[int], float], risen: float, mean: float
) -> None:
    """Over the whole time, in the gauge's own unit; with the mean that it is measured by."""
    readings = [
        Reading(
            at_seconds=1000.0 + second,
            resident_bytes=Counter(),
            descriptors=Counter(),
            log_bytes=0,
            oldest_seconds=value(second),
        )
        for second in range(100)
    ]
    found = growth(readings, lambda reading: reading.oldest_seconds)
    assert found == pytest.approx((risen, mean), abs=1)
