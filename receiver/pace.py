"""How often a provider is asked: about one generation, and on behalf of one account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from archiver.egress.answers import retry_after_seconds
from receiver.providers.values import as_moment

# Twice as old, half as often: a fresh generation is asked about soon, an old one seldom.
_SHARE_OF_AGE = 0.25
_LEAST_SECONDS, _MOST_SECONDS = 3.0, 900.0
_LEAST_WAIT_SECONDS, _MOST_WAIT_SECONDS = 1.0, 3600.0


def interval_seconds(age_seconds: float, jitter: float) -> float:
    """How long to wait before asking again about a generation; `jitter` in [0, 1) spreads it."""
    steady = min(max(age_seconds * _SHARE_OF_AGE, _LEAST_SECONDS), _MOST_SECONDS)
    return steady * (0.75 + 0.5 * jitter)


def wait_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """How long an answer asks to be left alone, in whichever way it says so; None if it does not.

    `Retry-After`, else `X-RateLimit-Reset`, of which doitong-stable-diffusion says only that it is
    a timestamp: it is read as milliseconds, seconds, a span or a date by its size and form.
    """
    asked = retry_after_seconds(headers.get("Retry-After"), now)
    if asked is None:
        asked = _until(headers.get("X-RateLimit-Reset", "").strip(), now)
    if asked is None:
        return None
    return min(max(asked, _LEAST_WAIT_SECONDS), _MOST_WAIT_SECONDS)


def _until(reset: str, now: datetime) -> float | None:
    try:
        number = float(reset)
    except ValueError:
        return _until_date(reset, now)
    if 0 <= number < 1e6:
        return number
    seconds = number / 1000 if number >= 1e12 else number
    return seconds - now.timestamp() if number >= 1e9 else None


def _until_date(reset: str, now: datetime) -> float | None:
    moment = as_moment(reset)
    return None if moment is None else (moment - now).total_seconds()


class Pace:
    """Gives every account its turns, so many a second, and none while it must be left alone."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}

    def delay_seconds(
        self, account: str, per_second: float, monotonic_seconds: float, *, patience_seconds: float
    ) -> float:
        """How long until the account's turn, which is taken by asking if it is within patience."""
        turn = max(self._next.get(account, 0.0), monotonic_seconds)
        delay = turn - monotonic_seconds
        if delay <= patience_seconds:
            self._next[account] = turn + 1 / per_second
        return delay

    def rest(self, account: str, until_monotonic_seconds: float) -> None:
        """Nobody asks on behalf of the account before then."""
        self._next[account] = max(self._next.get(account, 0.0), until_monotonic_seconds)
