"""A clock that a test holds in its hands."""

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class FrozenClock:
    """Stands still until it is told to go on; pass it wherever a `now` is asked for."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def advance(self, **duration: float) -> datetime:
        """Goes on by `hours=`, `seconds=` and so on, and says what time it is then."""
        self.at += timedelta(**duration)
        return self.at
