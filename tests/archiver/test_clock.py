"""What time it is by another's clock."""

from __future__ import annotations

from datetime import timedelta

from archiver import clock

HOUR, MOMENT = timedelta(hours=1), timedelta(seconds=20)


def test_until_somebody_is_heard_it_is_ones_own() -> None:
    """As where the catalog is in a file."""
    assert abs(clock.Corrected()() - clock.now()) < MOMENT


def test_it_goes_on_from_what_was_heard() -> None:
    """However often, it does not drift."""
    time = clock.Corrected()
    for _ in range(1000):
        time.hear(clock.now() - HOUR)
    assert abs(time() - (clock.now() - HOUR)) < MOMENT
