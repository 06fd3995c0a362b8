"""Requests of clients, of which everything is kept but their keys."""

from __future__ import annotations

from collections.abc import Iterator
from json import JSONDecodeError, loads
from typing import Any
from urllib.parse import parse_qsl

from receiver import confidential
from receiver.confidential import without_keys
from tests.fuzz.target import Sabotage, Target
from tests.fuzz.wire import filled

KEY = "sk-Ünsafe+key/1"
ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in KEY)


def law(data: bytes) -> None:
    """However the key is written in a document or a form, no reader of what is kept finds it.

    A content type stands on the first line; `{key}` and `{escaped}` stand for the key.
    """
    content_type, _, body = data.partition(b"\n")
    body = filled(body, {b"key": KEY.encode(), b"escaped": ESCAPED.encode()})
    kept = without_keys(body, content_type.decode("latin-1"), (KEY,))
    assert KEY.encode() not in kept
    assert len(kept) <= 12 * len(body) + 100
    assert KEY not in "\n".join(texts(kept.decode()))
    again = without_keys(kept, content_type.decode("latin-1"), (KEY,))
    assert KEY not in "\n".join(texts(again.decode()))


def texts(text: str, depth: int = 0) -> Iterator[str]:
    """A text, and all texts that a reader of JSON or of forms would find in it."""
    yield text
    if depth > 4:
        return
    try:
        yield from within(loads(text), depth)
    except (JSONDecodeError, RecursionError, ValueError):
        for pair in parse_qsl(text, keep_blank_values=True):
            yield from pair


def within(value: Any, depth: int) -> Iterator[str]:
    """All texts in a document, and in the documents that are texts in it."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for inner in value:
            yield from within(inner, depth)
    elif isinstance(value, str) and value[:1] in ("{", "["):
        yield from texts(value, depth + 1)
    else:
        yield str(value)


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="reading a document",
        owner=confidential,
        name="_cut_json",
        instead=lambda body, _: body,
    ),
    words=(
        *(b"{key}", b"{escaped}", b'{"key":"', b'"prompt":"a cat"', b'{\\"apiKey\\":\\"', b"key="),
        *(b"&", b"%2B", b"+", b"\\/", b"\\u00dc", b"%C3%9C", b"application/json\n", b"\n[", b"%7B"),
    ),
)
