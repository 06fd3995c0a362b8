"""Corpus files in the shape of what goes over a wire, so that people can read and write them."""

from __future__ import annotations

from collections.abc import Mapping


def headers_and_body(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """`name: value` a line, an empty line, and the body."""
    head, _, body = data.partition(b"\n\n")
    lines = (line.partition(b":") for line in head.split(b"\n") if line)
    return [(name, value) for name, _, value in lines], body


def filled(text: bytes, blanks: Mapping[bytes, bytes]) -> bytes:
    """The text with each `{name}` in it filled in, for what no fuzzer could guess."""
    for name, value in blanks.items():
        text = text.replace(b"{" + name + b"}", value)
    return text
