"""A JSON object with each value as it is written, so that one can be added and no other changes.

Decoded and encoded again, numbers would lose digits and texts their escapes.
"""

from __future__ import annotations

import msgspec

RawObject = dict[str, msgspec.Raw]


def read_raw(text: bytes | None) -> RawObject | None:
    """The fields of an object in their order; None if it is none."""
    if text is None:
        return None
    try:
        text = bytes(text).removeprefix(b"\xef\xbb\xbf")
        return msgspec.json.decode(text, type=RawObject)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def with_text(fields: RawObject, name: str, text: str) -> RawObject | None:
    """The object with a text more; None if it says something else there: neither null nor ""."""
    if name in fields and not _is_blank(fields[name]):
        return None
    return {**fields, name: raw(text)}


def raw(value: object) -> msgspec.Raw:
    """A value as it is written in JSON."""
    return msgspec.Raw(write(value))


def write(value: object) -> bytes:
    """A value, of raw ones too, as JSON."""
    return msgspec.json.encode(value)


def _is_blank(text: msgspec.Raw) -> bool:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return value is None or (isinstance(value, str) and not value.strip())
