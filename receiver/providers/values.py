"""Values out of JSON that nobody vouches for: each reading gives what it can only mean, or None."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec

from archiver.errors import UnreadableError

# No pixel count or credit is larger; what claims to be is noise.
MAX_INTEGER = 10**9 - 1

# No provider's seeds reach beyond this.
MAX_SEED = 2**63 - 1

_YES = {"yes", "true", "on", "1"}
_NO = {"no", "false", "off", "0"}


def read_json(body: bytes) -> Any:
    """A body that must be JSON, with or without a byte order mark; raises UnreadableError."""
    try:
        return msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(f"the body is not JSON: {error}") from error


def read_document(body: bytes) -> Mapping[str, Any]:
    """A body that must be a JSON object; raises UnreadableError."""
    value = read_json(body)
    if not isinstance(value, dict):
        raise UnreadableError("the body is JSON, but not an object")
    return value


def as_document(body: bytes) -> Mapping[str, Any]:
    """A body that is a JSON object; else empty."""
    try:
        return read_document(body)
    except UnreadableError:
        return {}


def as_mapping(value: object) -> Mapping[str, Any]:
    """An object, also one written as a JSON string; else empty."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """A list; else empty."""
    return value if isinstance(value, list) else []


def as_url(value: object) -> str | None:
    """Only http and https are links; whether they may be followed is for the egress to say."""
    if not isinstance(value, str):
        return None
    link = value.strip()
    return link if link.lower().startswith(("https://", "http://")) else None


def as_text(value: object) -> str | None:
    """Text that is not blank, stripped."""
    return value.strip() or None if isinstance(value, str) else None


def as_id(value: object) -> str | None:
    """An id as text: `302455` and `"302455"` name the same."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() and "\0" not in value else None


def as_integer(value: object, *, least: int = 1, most: int = MAX_INTEGER) -> int | None:
    """A whole number within bounds, also one written as digits."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:20])
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if least <= value <= most else None


def as_number(value: object) -> float | None:
    """A finite number, also one written as text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 else None


def as_bool(value: object) -> bool | None:
    """A boolean, or one of the words that stand for it."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    return True if word in _YES else False if word in _NO else None


def as_moment(value: object, *, zone: tzinfo = UTC) -> datetime | None:
    """An ISO 8601 time as aware UTC; one without an offset is of `zone`."""
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value.strip())
        return (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
