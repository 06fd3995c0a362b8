"""What an export says of a slot, and how: a JSON object a line, or a row of a spreadsheet.

A row has the fields of a search hit, whatever else the manifest says of the slot (`failure`,
`assets`, `links` and so on), and as `generation` the rest of the manifest. The table has the same
in columns, less the links. Fields and columns may be added, and are never renamed.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import fields
from enum import StrEnum
from io import StringIO
from typing import Any, TypeAlias

import msgspec

from archiver import manifest
from archiver.models import Generation, GenerationParams
from archiver.search import Hit
from archiver.story import hit_summary

Row: TypeAlias = dict[str, Any]

# Of the slot's own part of a manifest; of an output, which is all that is found, the role is empty.
_SAID_BY_THE_HIT = ("number", "index", "role", "state", "reason")

_OF_THE_HIT = (
    "number", "provider", "id", "slot", "state", "reason", "prompt", "service", "model", "seed",
    "steps", "guidance_scale", "heard_at", "archived_at", "origin", "sha256", "media_type",
    "size_bytes", "width", "height", "flagged",
)  # fmt: skip
_OF_THE_GENERATION = (
    "moderated", "canceled", "track_id", "cost", "created_at", "completed_at",
)  # fmt: skip
_OF_THE_PARAMS = tuple(
    field.name for field in fields(GenerationParams) if field.name not in _OF_THE_HIT
)
COLUMNS = (
    *_OF_THE_HIT,
    "generation_state",
    *_OF_THE_GENERATION,
    "failure_class",
    "failure_code",
    "failure_message",
    *_OF_THE_PARAMS,
    "drawn_with",
    "notes",
)

# Where a spreadsheet that separates by these would begin another cell, whatever nobody sees before
# its sign. All of the run is taken at once, or a million line breaks would take hours.
_INNER_CELL = re.compile(
    r"([;\t|\r\n][;|\s\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*+)"
    r"([=+@\-⁺⁼₊₌⩵⩶﬩﹢﹣﹦﹫＋－＝＠]?)"
)

_encode = msgspec.json.Encoder().encode


class Format(StrEnum):
    """What an export can be."""

    NDJSON = "ndjson"
    CSV = "csv"
    ZIP = "zip"


def row_of(hit: Hit, generation: Generation) -> Row:
    """All that is known of the slot that was found, as plain values."""
    told = manifest.describe(generation)
    slots = {slot["number"]: slot for slot in told.pop("slots")}
    of_the_slot = slots[hit.card.number].items()
    more = {name: value for name, value in of_the_slot if name not in _SAID_BY_THE_HIT}
    return {**hit_summary(hit), **more, "generation": told}


def beginning(form: Format) -> bytes:
    """What stands before all lines: of a table the names of its columns."""
    return _table([COLUMNS]) if form is Format.CSV else b""


def lines(form: Format, rows: Iterable[Row]) -> bytes:
    """Some rows, each a line in UTF-8; a line of a table may have line breaks within quotes."""
    if form is Format.CSV:
        return _table(map(_cells, rows))
    return b"".join(_encode(row) + b"\n" for row in rows)


def cell(value: str | float | bool | None) -> str:
    """One value as a spreadsheet may safely have it.

    Text that a spreadsheet might take for a formula has an apostrophe before it (OWASP, CSV
    Injection): what begins with = + - @ of any width, be it after blanks or characters that nobody
    sees, or with a tab, a line break or NUL. Numbers are no text.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    value = _INNER_CELL.sub(lambda it: f"{it[1]}'{it[2]}" if it[2] else it[0], value)
    return f"'{value}" if _is_formula(value) else value


def _is_formula(text: str) -> bool:
    if text[:1].isalnum():
        return False
    seen = (it for it in text if not it.isspace() and not unicodedata.category(it).startswith("C"))
    sign = unicodedata.normalize("NFKC", next(seen, ""))
    return text.startswith(("\t", "\r", "\n", "\0")) or sign.startswith(("=", "+", "-", "@"))


def _cells(row: Row) -> list[str]:
    generation: Mapping[str, Any] = row["generation"]
    failure = row["failure"] or generation["failure"] or {}
    leading: Mapping[str, Any] = next(
        (it for it in row["assets"] if it["origin"] == row["origin"]), {}
    )
    drawn = leading.get("rendering") or {}
    values = [
        *(row[name] for name in _OF_THE_HIT),
        generation["state"],
        *(generation[name] for name in _OF_THE_GENERATION),
        *(failure.get(name) for name in ("class", "code", "message")),
        *(generation["params"].get(name) for name in _OF_THE_PARAMS),
        drawn.get("drawn_with"),
        "; ".join(drawn.get("notes", ())) or None,
    ]
    return [cell(value) for value in values]


def _table(rows: Iterable[Iterable[str]]) -> bytes:
    """Rows as RFC 4180 has them."""
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
