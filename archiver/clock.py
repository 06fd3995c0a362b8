"""The only room that asks what time it is; everything else is told."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The time as an aware UTC datetime, to the millisecond, which is all the catalog keeps."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def monotonic() -> float:
    """Seconds on a clock that never jumps, for measuring durations inside one process."""
    return time.monotonic()
