"""The simulator's own clock: a provider's time is not its customer's."""

from datetime import UTC, datetime


def now() -> datetime:
    """The time as an aware UTC datetime."""
    return datetime.now(UTC)
