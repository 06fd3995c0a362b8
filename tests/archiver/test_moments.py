"""Moments go into the tables and come back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.moments import from_millis, to_millis, to_text

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# A day inside the calendar, so that no zone leads out of it.
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES)  # noqa: DTZ001

STORED = {
    0: datetime(1970, 1, 1, tzinfo=UTC),
    1_795_348_800_001: datetime(2026, 11, 22, 12, 0, 0, 1000, tzinfo=UTC),
    -1: datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
}


@pytest.mark.parametrize(("millis", "moment"), STORED.items())
def test_a_moment_is_milliseconds_since_1970(millis: int, moment: datetime) -> None:
    """In UTC, before 1970 too."""
    assert to_millis(moment) == millis
    assert from_millis(millis) == moment


@given(MOMENTS)
def test_a_moment_comes_back_to_the_millisecond(moment: datetime) -> None:
    """The rest is cut off, never rounded up: a deadline may come early but not late."""
    back = from_millis(to_millis(moment))

    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)
    assert back.tzinfo is UTC
    assert to_millis(back) == to_millis(moment)


def test_nothing_stays_nothing() -> None:
    """No moment is stored as NULL."""
    assert to_millis(None) is None
    assert from_millis(None) is None


def test_a_moment_without_a_zone_is_a_mistake() -> None:
    """It could mean anything, so it is not guessed at."""
    with pytest.raises(TypeError):
        to_millis(datetime(2026, 11, 22))  # noqa: DTZ001


def test_a_moment_for_readers_of_json() -> None:
    """RFC 3339 in UTC with a Z; no moment stays none."""
    shanghai = datetime(2026, 11, 21, 20, 0, 0, 123456, tzinfo=timezone(timedelta(hours=8)))
    assert to_text(shanghai) == "2026-11-21T12:00:00.123Z"
    assert to_text(None) is None
