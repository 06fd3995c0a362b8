"""The only room that asks what time it is; everything else is told."""

import time
from datetime import UTC, datetime, timedelta


def now() -> datetime:
    """The time as an aware UTC datetime, to the millisecond, which is all the catalog keeps."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def monotonic() -> float:
    """Seconds on a clock that never jumps, for measuring durations inside one process."""
    return time.monotonic()


class Corrected:
    """The time by another's clock, as far as it was heard of last; at first by one's own.

    For who compares his time with moments that others have written.
    """

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def __call__(self) -> datetime:
        """See `now`."""
        return now() + self._ahead

    def hear(self, moment: datetime) -> None:
        """That is what time it is now, by the other's clock."""
        self._ahead = moment - now()
