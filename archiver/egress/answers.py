"""What an origin's answer means. Pure: statuses and headers in, faults out."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from archiver.errors import FetchError
from archiver.models import Fault

REDIRECTS = frozenset({301, 302, 303, 307, 308})

# A status that is not listed promises nothing, and so is the server's fault.
_FAULTS = {
    401: Fault.REFUSED,
    403: Fault.REFUSED,
    404: Fault.MISSING,
    410: Fault.GONE,
    429: Fault.THROTTLED,
}
_LONGEST_WAIT_SECONDS = 3600.0


def refusal(status: int, headers: Mapping[str, str], host: str, now: datetime) -> FetchError:
    """The error for an answer that is neither 200 nor a redirect."""
    return FetchError(
        _FAULTS.get(status, Fault.SERVER),
        f"{host} answered {status}",
        retry_after_seconds=retry_after_seconds(headers.get("Retry-After"), now),
    )


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After header (RFC 9110 §10.2.3), within an hour; None if unsaid."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        seconds = float(value)
    else:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, OverflowError, TypeError):
            return None
        if moment.tzinfo is None:
            return None
        seconds = (moment - now).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)
