"""How a moment is written down: in every table whole milliseconds since 1970, in UTC."""

from datetime import UTC, datetime, timedelta
from typing import overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@overload
def to_millis(moment: datetime) -> int: ...
@overload
def to_millis(moment: datetime | None) -> int | None: ...
def to_millis(moment: datetime | None) -> int | None:
    """An aware datetime as stored; None stays None."""
    return None if moment is None else (moment - _EPOCH) // _MILLISECOND


@overload
def from_millis(millis: int) -> datetime: ...
@overload
def from_millis(millis: int | None) -> datetime | None: ...
def from_millis(millis: int | None) -> datetime | None:
    """A stored moment as an aware UTC datetime; None stays None."""
    return None if millis is None else _EPOCH + millis * _MILLISECOND


@overload
def to_text(moment: datetime) -> str: ...
@overload
def to_text(moment: datetime | None) -> str | None: ...
def to_text(moment: datetime | None) -> str | None:
    """An aware datetime for whoever reads JSON: RFC 3339 in UTC, to the millisecond, with a Z."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
